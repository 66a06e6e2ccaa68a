"""The job files in sweeps/cluster: their commands are legal, and a training on two machines is that of one process."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ar_lightning.config.resolve import load_config
from ar_lightning.sweep.file import read_sweep
from tests.support.commands import ROOT, result, run_here
from tests.support.postgres import free_port

CLUSTER = ROOT / "sweeps" / "cluster"
SCRIPTS = sorted([*CLUSTER.glob("*.sbatch"), *CLUSTER.glob("*.sh")])
OBJECTS = list(yaml.safe_load_all((CLUSTER / "kubernetes.yaml").read_text()))
QUICK = [
    "trainer.max_epochs=1", "trainer.limit_train=4", "trainer.limit_val=2", "trainer.accelerator=cpu", "samples.n=4",
    "tracking.mode=disabled", "model.layers=1", "model.hidden=4",
]  # fmt: skip
PYTHON = Path(sys.executable)
STUBS = {
    # srun: here two nodes on one machine, with a task each
    "srun": """#!/bin/bash
while [[ "$1" == --* ]]; do shift; done
export SLURM_STEP_NUM_TASKS=2
for rank in 0 1; do SLURM_PROCID=$rank SLURM_NODEID=$rank SLURM_LOCALID=0 "$@" & tasks[rank]=$!; done
for task in "${tasks[@]}"; do wait "$task"; done
""",
    "python": f"""#!/bin/bash
if [ -n "${{CALLS:-}}" ]; then printf '%s\\0' "$@" > "$CALLS"; else exec {PYTHON} "$@"; fi
""",
    "torchrun": f"""#!/bin/bash
if [ -z "${{CALLS:-}}" ]; then exec {PYTHON} -m torch.distributed.run "$@"; fi
while [[ "$1" == --* ]]; do shift; done
exec python "$@"
""",
    "venv/bin/activate": "",
}


def environment(folder: Path, **more: str) -> dict[str, str]:
    """An environment in which the programs of a cluster are stubs, and SLURM gave out two nodes."""
    for name, text in STUBS.items():
        stub = folder / name
        if not stub.exists():
            stub.parent.mkdir(parents=True, exist_ok=True)
            stub.write_text(text)
            stub.chmod(0o755)
    slurm = {
        "SLURM_NNODES": "2", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1", "SLURM_CPUS_PER_TASK": "1",
        "SLURM_JOB_ID": str(free_port() % 10_000), "SLURM_NODELIST": "localhost", "SLURM_JOB_NAME": "pixelrnn",
    }  # fmt: skip
    return {**os.environ, **slurm, "PATH": f"{folder}:{os.environ['PATH']}", "RUN": str(folder / "run"), **more}


def start(script: str, env: dict[str, str], *args: str) -> subprocess.Popen[str]:
    """Start a script as a user would, from the root of the project, but for its virtual environment."""
    text = (CLUSTER / script).read_text().replace("source venv/bin/activate", "")
    command = ["bash", "-c", text, script, *args]
    return subprocess.Popen(command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(*processes: subprocess.Popen[str]) -> str:
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert not any(process.returncode for process in processes), "\n".join(outputs)
    return "\n".join(outputs)


def arguments(script: str, folder: Path, **more: str) -> list[str]:
    """Return what a script would hand to python."""
    calls = folder / "calls"
    finish(start(script, environment(folder, CALLS=str(calls), HEAD="node1:29500", **more)))
    return calls.read_text().removesuffix("\0").split("\0")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_bash_and_say_what_to_change(script: Path) -> None:
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    text = script.read_text()
    assert "set -euo pipefail" in text and ("# CHANGE" in text or "${HEAD:?" in text)
    assert "PASSWORD=" not in text and not re.search(r"://[^/\s@]*:[^/\s@]*@", text)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["slurm_training.sbatch", "torchrun.sh"])
def test_trainings_begin_and_resume(script: str, tmp_path: Path) -> None:
    program, *args = arguments(script, tmp_path, NODES="2", DEVICES="1")
    assert program == "run.py" and args[:2] == ["--config", "conf/pixelrnn.yaml"]
    config = load_config(ROOT / args[1], args[2:])
    assert (config["trainer"]["num_nodes"], config["trainer"]["devices"]) == (2, 1)
    assert config["run_dir"] == str(tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    program, *args = arguments(script, tmp_path, NODES="2", DEVICES="1")
    lasting = ["trainer.save_minutes=10", "trainer.num_nodes=2", "trainer.devices=1"]
    assert args == ["--resume", str(tmp_path / "run"), *lasting]


def test_a_training_has_a_task_for_every_gpu_and_its_batch_is_divisible() -> None:
    asked = dict(re.findall(r"#SBATCH --([\w-]+)=(\S+)", (CLUSTER / "slurm_training.sbatch").read_text()))
    assert asked["ntasks-per-node"] == asked["gpus-per-node"] and asked["job-name"] not in ("bash", "interactive")
    assert 32 % (int(asked["ntasks-per-node"]) * int(asked["nodes"])) == 0
    sweep = dict(re.findall(r"#SBATCH --([\w-]+)=(\S+)", (CLUSTER / "slurm.sbatch").read_text()))
    assert sweep["ntasks-per-node"] == "1"


def test_sweeps_are_legal(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    (job,) = [o for o in OBJECTS if o["kind"] == "Job"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    values = {variable["name"]: variable.get("value") for variable in container["env"]}
    in_pod = [re.sub(r"\$\((\w+)\)", lambda name: values[name[1]], word) for word in container["command"]]
    assert in_pod[0] == "python"
    for program, command, *args in (arguments("slurm.sbatch", tmp_path), in_pod[1:]):
        assert (program, command, args[0]) == ("run.py", "sweep", "--config")
        sweep = read_sweep(ROOT / args[1], args[2:])
        assert re.fullmatch(r"postgresql://sweep@[\w.-]+:5432/sweeps", sweep.storage_url)


def test_objects_of_kubernetes_refer_to_each_other() -> None:
    named = {(o["kind"], o["metadata"]["name"]): o for o in OBJECTS}
    assert len(named) == len(OBJECTS) and all("apiVersion" in o for o in OBJECTS)
    for kind in ("Deployment", "Job"):
        (pod,) = [o["spec"]["template"]["spec"] for o in OBJECTS if o["kind"] == kind]
        (container,) = pod["containers"]
        for variable in container["env"]:
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            assert not reference or reference["key"] in named["Secret", reference["name"]]["stringData"]
        claims = [v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v]
        assert claims and all(("PersistentVolumeClaim", claim) in named for claim in claims)
        assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    database = named["Deployment", "sweep-database"]["spec"]
    assert database["selector"]["matchLabels"] == database["template"]["metadata"]["labels"]
    assert named["Service", "sweep-database"]["spec"]["selector"] == database["template"]["metadata"]["labels"]


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> float:
    """The test likelihood, nats, of a training by one process."""
    run_dir = tmp_path_factory.mktemp("one") / "run"
    assert run_here("--config", "conf/pixelrnn.yaml", *QUICK, "trainer.devices=1", f"run_dir={run_dir}") == 0
    return float(result(run_dir)["test/nll"])


def check(run_dir: Path, one_process: float) -> None:
    there = result(run_dir)
    assert (there["world_size"], there["test_examples"], there["steps"]) == (2, 180, 4)
    assert there["test/nll"] == pytest.approx(one_process, abs=1e-4)


@pytest.mark.slow
@pytest.mark.ddp
def test_two_nodes_of_torchrun(tmp_path: Path, one_process: float) -> None:
    env = environment(tmp_path, HEAD=f"127.0.0.1:{free_port()}", NODES="2", DEVICES="1")
    finish(*(start("torchrun.sh", env, *QUICK) for _ in range(2)))
    check(tmp_path / "run", one_process)


@pytest.mark.slow
@pytest.mark.ddp
def test_two_nodes_of_slurm(tmp_path: Path, one_process: float) -> None:
    env = environment(tmp_path)
    finish(start("slurm_training.sbatch", env, *QUICK))
    check(tmp_path / "run", one_process)
