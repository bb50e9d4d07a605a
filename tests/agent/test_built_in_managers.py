"""The context managers that come with Runyard: scratch, resource sampling, output upload."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runyard.agent import proctree
from tests.agent.phased_runs import PhasedRun, is_there, script
from tests.waiting import wait_for


def test_a_scratch_folder_lives_as_long_as_the_run(tmp_path: Path) -> None:
    run = PhasedRun(
        tmp_path,
        '[[context_managers]]\nuse = "scratch"\n',
        *script("echo hello > $RUNYARD_SCRATCH_DIR/x; echo $RUNYARD_SCRATCH_DIR"),
    )
    done = run.complete()
    assert done.returncode == 0
    assert not Path(done.stdout.decode().strip()).exists()
    assert "is removed (6 bytes)" in run.text("75")


def test_a_scratch_folder_below_a_root_is_the_runs_own_and_what_was_there_stays(tmp_path: Path) -> None:
    root = tmp_path / "fast"
    (root / "runyard-r").mkdir(parents=True)
    (root / "runyard-r" / "kept").write_text("somebody else's")
    spec = f'[[context_managers]]\nuse = "scratch"\noptions = {{ root = "{root}" }}\n'
    run = PhasedRun(tmp_path, spec, *script("echo hello > $RUNYARD_SCRATCH_DIR/x; ls -d $RUNYARD_SCRATCH_DIR"))
    done = run.complete()
    assert done.returncode == 0
    assert done.stdout.decode().startswith(f"{root}/runyard-r-")
    assert [path.name for path in root.iterdir()] == ["runyard-r"]
    assert (root / "runyard-r" / "kept").read_text() == "somebody else's"


def test_a_scratch_folder_whose_root_is_not_there_fails_the_run_in_one_sentence(tmp_path: Path) -> None:
    spec = f'[[context_managers]]\nuse = "scratch"\noptions = {{ root = "{tmp_path}/nowhere" }}\n'
    done = PhasedRun(tmp_path, spec, *script("echo never")).complete()
    assert f"no scratch folder can be made in {tmp_path}/nowhere: No such file or directory" in done.stderr.decode()
    assert not (tmp_path / "nowhere").exists()


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """A folder of the user's, fit for mounting elsewhere."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs_system(mount): mounting needs root")
    folder = tmp_path / "bucket"
    folder.mkdir()
    (folder / "precious").write_text("data")
    return folder


@pytest.mark.needs_system("mount")
def test_what_a_driver_mounts_in_its_scratch_folder_is_taken_off_and_not_emptied(tmp_path: Path, bucket: Path) -> None:
    mounting = f"mkdir $RUNYARD_SCRATCH_DIR/in && mount --bind {bucket} $RUNYARD_SCRATCH_DIR/in && ls $RUNYARD_SCRATCH_DIR/in"
    run = PhasedRun(tmp_path, '[[context_managers]]\nuse = "scratch"\n', *script(mounting))
    done = run.complete()
    assert (done.returncode, done.stdout) == (0, b"precious\n")
    assert (bucket / "precious").read_text() == "data"
    assert "Taking off the mount" in run.text("75")
    assert run.mounts() == []


# In a namespace whose mounts cannot be taken off.
LEAVE_SCRATCH = """
import sys
from pathlib import Path
from tests.agent.managers_job import job_in
from runyard.agent.managers.scratch import Scratch

scratch = Scratch(job_in(Path(sys.argv[1])))
scratch.state = {"path": sys.argv[2]}
scratch.__exit__(None, None, None)
"""


@pytest.mark.needs_system("mount")
def test_a_scratch_folder_whose_mount_stays_is_not_removed(tmp_path: Path, bucket: Path) -> None:
    scratch = tmp_path / "scratch"
    (scratch / "in").mkdir(parents=True)
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs_system(mount): user namespaces cannot be made here")
    subprocess.run(["mount", "--bind", str(bucket), str(scratch / "in")], check=True)
    try:
        python = [sys.executable, "-c", LEAVE_SCRATCH, str(tmp_path), str(scratch)]
        done = subprocess.run([*unshare, *python], capture_output=True, text=True, check=False)
    finally:
        subprocess.run(["umount", str(scratch / "in")], check=True)
    assert f"the scratch folder {scratch} is not removed: " in done.stderr
    assert (bucket / "precious").read_text() == "data"


def test_resources_are_sampled_while_the_driver_runs(tmp_path: Path) -> None:
    go = tmp_path / "go"
    spec = '[[context_managers]]\nuse = "resource_sampling"\noptions = { interval_s = 0.1 }\n'
    run = PhasedRun(tmp_path, spec, *script(is_there(go)))
    run.start()

    def samples() -> str:
        return "".join(path.read_text() for path in run.run_dir.glob("logs/azureml/resources-*.jsonl"))

    wait_for(lambda: '"processes":[{"rank":0,"processes":' in samples(), "a sample of the driver")
    go.touch()
    assert run.finish()["status"] == "Completed"
    assert "Sampling has ended" in run.text("75")


SAMPLE = """
import sys
from pathlib import Path
from tests.agent.managers_job import job_in
from runyard.agent.managers.resource_sampling import ResourceSampling

with ResourceSampling(job_in(Path(sys.argv[1])), interval_s=3600):
    pass
"""
OWN_PROC = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]


@pytest.mark.parametrize("namespace", [[], OWN_PROC], ids=["on the host", "in a namespace with a proc of its own"])
def test_drivers_that_a_sampler_cannot_see_are_told_as_unknown_and_not_as_nothing(tmp_path: Path, namespace: list[str]) -> None:
    if namespace and subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs_system(unshare): user namespaces cannot be made here")
    for folder in ("work", "proc/0"):
        (tmp_path / folder).mkdir(parents=True)
    driver = {"pid": os.getpid(), "start_ticks": proctree.start_ticks(os.getpid())}
    (tmp_path / "proc/0/started.json").write_text(json.dumps(driver))
    python = [sys.executable, "-c", SAMPLE, str(tmp_path)]
    done = subprocess.run([*namespace, *python], capture_output=True, text=True, check=True)
    lines = (tmp_path / "logs/azureml/resources-n.jsonl").read_text().splitlines()
    sample = json.loads(lines[-1])
    assert sample["memory_total_bytes"] > 0
    if namespace:
        assert sample["processes"] is None
        assert "could not be seen from here" in done.stdout
    else:
        assert sample["processes"][0]["memory_bytes"] > 0


def test_outputs_are_uploaded_to_the_users_own_store(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    spec = f'[[context_managers]]\nuse = "output_upload"\noptions = {{ url = "file://{store}" }}\n'
    run = PhasedRun(tmp_path, spec, *script("mkdir $RUNYARD_OUTPUT_DIR/sub; echo weights > $RUNYARD_OUTPUT_DIR/sub/model.bin"))
    assert run.complete().returncode == 0
    assert (store / "r" / "sub" / "model.bin").read_text() == "weights\n"
    assert "1 files, 8 bytes" in run.text("75")


# A file system whose library tells all that it knows.
LEAKY = """
from fsspec import AbstractFileSystem

class Leaky(AbstractFileSystem):
    protocol = "leaky"

    def __init__(self, key, **options):
        super().__init__(**options)
        self.key = key

    def makedirs(self, path, exist_ok=False):
        raise OSError(f"login with {self.key} refused at ftp://bob:pw@host/store?signature=abc, see https://host/help")
"""


def test_what_a_store_says_of_its_keys_stands_in_no_message(tmp_path: Path) -> None:
    package = tmp_path / "code" / "leaky-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: leaky\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[fsspec.specs]\nleaky = leaky:Leaky\n")
    (package.parent / "leaky.py").write_text(LEAKY)
    spec = 'code = "code"\n[[context_managers]]\nuse = "output_upload"\n'
    spec += 'options = { url = "leaky://anna@store", secrets = { key = "env:STORE_KEY" } }\n'
    run = PhasedRun(tmp_path, spec, *script("echo never"), env={"STORE_KEY": "open/sesame"})
    done = run.complete()
    wanted = "outputs cannot be uploaded to leaky://store/r: login with *** refused at ftp://host/store, see https://host/help"
    assert wanted in done.stderr.decode()
    logs = [path.read_text(errors="replace") for path in run.run_dir.glob("*logs/**/*") if path.is_file()]
    told = [done.stderr.decode(), json.dumps(run.state()), *logs]
    assert [text for text in logs if "refused at" in text]
    for secret in ("sesame", "pw@", "bob", "anna", "signature"):
        assert not [text for text in told if secret in text]


def test_an_upload_to_an_address_with_a_password_is_refused_without_telling_it(tmp_path: Path) -> None:
    spec = '[[context_managers]]\nuse = "output_upload"\noptions = { url = "ftp://bob:sesame@host/store" }\n'
    run = PhasedRun(tmp_path, spec, *script("echo never"))
    done = run.complete()
    assert done.returncode != 0
    assert "url holds a password (it is not shown)" in done.stderr.decode()
    assert "sesame" not in done.stderr.decode()
