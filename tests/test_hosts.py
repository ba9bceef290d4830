"""Hosts that are not installed: one line says what to install."""

import subprocess
import sys

import pytest

from hyperrestore import MissingExtraError
from hyperrestore.hosts.installed import import_host


def test_a_host_that_is_missing():
    with pytest.raises(MissingExtraError, match=r"^nonesuch is not installed: pip install Nonesuch$"):
        import_host("nonesuch.models", install="Nonesuch")


def test_a_host_that_lacks_a_part_of_its_own_says_so_itself(monkeypatch, tmp_path):
    (tmp_path / "halfway.py").write_text("import nonesuch_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="nonesuch_at_all") as caught:
        import_host("halfway", install="halfway")
    assert not isinstance(caught.value, MissingExtraError)


def test_without_torch_the_denoiser_says_what_to_install():
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import hyperrestore\n"
        "try:\n    import hyperrestore.hosts.deepinv\n"
        "except hyperrestore.MissingExtraError as error:\n    print(error)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    expected = "this denoiser needs torch: pip install 'hyperrestore[torch]'\n"
    assert (result.stdout, result.stderr) == (expected, "")
