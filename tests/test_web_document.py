"""The OpenAPI document: whatever it allows, and much that it does not, gets an answer that is no failure."""

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from serving import OWN, page_at, running

from hyperrestore import PictureInfo
from hyperrestore.level import SHIPPED
from hyperrestore.picture.file import Picture, write_picture

schemathesis = pytest.importorskip("schemathesis", reason="needs the extra [test-web]")
pytestmark = [
    pytest.mark.web,
    pytest.mark.filterwarnings("ignore::hyperrestore.ExtrapolationWarning"),  # as `serve` does
]


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A server, and what a page knows of it: its own identity, a photo, a job that is done."""
    folder = tmp_path_factory.mktemp("web")
    pixels = np.random.default_rng(0).random((3, 40, 50), np.float32)
    write_picture(folder / "a.png", Picture(pixels, None, PictureInfo(50, 40, 3)))
    with running(folder, {task: task for task in SHIPPED}) as (address, _), page_at(address) as client:
        photo = client.post("/api/photos", content=(folder / "a.png").read_bytes()).json()["id"]
        job = client.post(f"/api/photos/{photo}/jobs", json={"task": "denoise", "level": 5}).json()["id"]
        yield {"address": address, "page": client.headers["X-Page"], "photo": photo, "job": job}


@pytest.mark.parametrize("mode", schemathesis.GenerationMode)
def test_nothing_that_is_sent_makes_the_server_fail(known, mode):
    document = schemathesis.openapi.from_url(f"{known['address']}/openapi.json", headers=OWN)
    operations = [result.ok() for result in document.get_all_operations()]
    assert len(operations) == 13
    answered = {operation.label: try_out(operation, mode, known) for operation in operations}
    if mode == schemathesis.GenerationMode.POSITIVE:  # else it would have tried nothing but refusals
        assert 200 in answered["GET /api/photos/{photo}/region"]
        assert 201 in answered["POST /api/pages"]
        assert 202 in answered["POST /api/photos/{photo}/jobs"]


def try_out(operation, mode, known):
    """Send what the document allows, or what it does not; gives the statuses of the answers."""
    statuses = set()

    @given(case=operation.as_strategy(generation_mode=mode), made_up=st.booleans())
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def check(case, made_up):
        headers = dict(OWN)
        if not made_up:  # a page, photo and job that there are; but deleting would leave none
            headers["X-Page"] = known["page"]
            for name in {"photo", "job"} & set(case.path_parameters or {}):
                if case.method.upper() != "DELETE":
                    case.path_parameters[name] = known[name]
        response = case.call(headers=headers, timeout=60)
        statuses.add(response.status_code)
        assert response.status_code < 500, response.text
        if response.status_code >= 400:
            assert set(response.json()) == {"error"}

    with contextlib.suppress(Unsatisfiable):  # nothing can be wrong with it
        check()
    return statuses
