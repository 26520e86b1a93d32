"""The deployment from GitHub: one build for all stages, and never an older commit after a newer one."""

import json
import os
import subprocess

import pytest
import yaml
from stack import ROOT, stages

DEPLOYED = ["master", "val", "production"]


def jobs():
    return yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())["jobs"]


def test_every_stage_gets_the_one_build():
    assert set(jobs()) == {"ci", "build", *DEPLOYED}
    for stage in DEPLOYED:
        job = jobs()[stage]
        assert job["environment"] == job["env"]["STAGE"] == stage
        assert "build" in job["needs"]
        assert not any("sam build" in step.get("run", "") for step in job["steps"])
        assert job["steps"] == jobs()["master"]["steps"]
    # `sam build` reads nothing else of a stage.
    assert len({stages()[stage]["Architecture"] for stage in DEPLOYED}) == 1


# Stands in for `gh api PATH --jq EXPRESSION`: the answers by path, the expression applied by hand.
GH = """#!/usr/bin/env python3
import json, os, sys
path, expression = sys.argv[2].split("?")[0], sys.argv[4]
answer = json.loads(os.environ["ANSWERS"])[path.removeprefix("repos/org/repo/")]
if expression == ".status":
    print(answer["status"])
elif expression.startswith("any("):
    print(json.dumps(any(it["state"] == "success" for it in answer)))
else:
    for it in answer:
        print(it["id"], it["sha"])
"""


@pytest.mark.parametrize(
    ("deployments", "relations", "is_accepted"),
    [
        # Nothing was deployed yet, or nothing successfully.
        ([], {}, True),
        ([("old", ["failure", "in_progress"])], {}, True),
        # This run's own deployment is in progress.
        ([("mine", ["in_progress"]), ("old", ["success"])], {"old": "ahead"}, True),
        ([("mine", ["success"])], {"mine": "identical"}, True),
        ([("mine", ["in_progress"]), ("new", ["success"])], {"new": "behind"}, False),
        # GitHub marks a deployment as inactive when a newer one succeeds.
        ([("mine", ["waiting"]), ("new", ["inactive", "success"]), ("old", ["success"])], {"new": "behind"}, False),
        ([("other", ["success"])], {"other": "diverged"}, False),
        # A failed one left the stage as it was.
        ([("new", ["failure"]), ("old", ["inactive", "success"])], {"old": "ahead"}, True),
    ],
)
def test_an_older_commit_is_refused(tmp_path, deployments, relations, is_accepted):
    answers = {"deployments": [{"id": number, "sha": sha} for number, (sha, _) in enumerate(deployments)]}
    for number, (_, states) in enumerate(deployments):
        answers[f"deployments/{number}/statuses"] = [{"state": state} for state in states]
    for sha, status in relations.items():
        answers[f"compare/{sha}...mine"] = {"status": status}
    gh = tmp_path / "gh"
    gh.write_text(GH)
    gh.chmod(0o755)
    result = subprocess.run(
        [ROOT / ".ci/is-newest", "val"],
        env=os.environ
        | {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "GITHUB_REPOSITORY": "org/repo",
            "GITHUB_SHA": "mine",
            "ANSWERS": json.dumps(answers),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode == 0) == is_accepted, result.stderr
    assert is_accepted or result.stderr.startswith("val runs ")
