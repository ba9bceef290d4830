"""The recipe of the container and the example for Kubernetes fit the command line."""

import json
import re
from pathlib import Path

import yaml

from hyperrestore.cli.arguments.parser import parser
from hyperrestore.cli.web import TOKEN
from hyperrestore.web.safety import HEALTH

ROOT = Path(__file__).parents[1]


def test_the_recipe_of_the_container_starts_the_page():
    text = (ROOT / "Dockerfile").read_text()
    (words,) = re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)
    options = parser().parse_args(json.loads(words))
    assert (options.command, options.host, options.port, options.no_open) == ("web", "0.0.0.0", 8642, True)
    (check,) = re.findall(r"CMD (\[\"python.*\])$", text, re.MULTILINE)
    assert f"http://127.0.0.1:{options.port}{HEALTH}" in json.loads(check)[-1]
    assert re.search(r"^USER \d+$", text, re.MULTILINE), (
        "a number, or Kubernetes cannot tell that it is not root"
    )


def test_the_example_for_kubernetes_starts_the_page():
    text = (ROOT / "docs" / "examples" / "kubernetes-web.yaml").read_text()
    deployment, service = yaml.safe_load_all(text)
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    options = parser().parse_args(container["args"])
    assert (options.command, options.host, options.workers) == ("web", "0.0.0.0", 4)
    assert {container[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")} == {HEALTH}
    assert container["ports"][0]["containerPort"] == service["spec"]["ports"][0]["targetPort"] == options.port
    assert container["env"][0]["name"] == TOKEN
    assert container["volumeMounts"][0]["name"] == pod["volumes"][0]["name"]
