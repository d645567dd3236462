import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ilsvrc.runtime import hardware


@pytest.fixture(autouse=True)
def four(monkeypatch):
    """Four GPUs, no scheduler."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    for name in hardware.SCHEDULERS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", []), ("-1", []), ("2", ["2"]), ("1, 3", ["1", "3"]), ("GPU-ab,GPU-cd", ["GPU-ab", "GPU-cd"])],
)
def test_visible_gpus_are_those_that_the_environment_names(value, expected, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert hardware.visible_gpus() == expected


def test_without_it_they_are_the_drivers(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    listed = (
        "GPU 0: NVIDIA H200 (UUID: GPU-1)\n  MIG 1g.18gb Device 0: (UUID: MIG-2)\nGPU 1: NVIDIA H200 (UUID: GPU-3)\n"
    )
    monkeypatch.setattr(hardware.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, listed))
    assert hardware.visible_gpus() == ["0", "1"]
    assert hardware.gpu_names() == ["NVIDIA H200", "NVIDIA H200"]


def test_two_claims_never_share(tmp_path):
    with hardware.claimed_gpus(2, tmp_path) as first, hardware.claimed_gpus(2, tmp_path) as second:
        assert sorted(first + second) == ["0", "1", "2", "3"]


def test_what_was_claimed_is_free_again(tmp_path):
    for _ in range(2):
        with hardware.claimed_gpus(4, tmp_path) as all_four:
            assert all_four == ["0", "1", "2", "3"]


def test_a_claim_waits_until_enough_are_free(tmp_path):
    got: list[list[str]] = []

    def claim() -> None:
        with hardware.claimed_gpus(3, tmp_path) as mine:
            got.append(mine)

    with hardware.claimed_gpus(2, tmp_path):
        waiting = threading.Thread(target=claim)
        waiting.start()
        time.sleep(0.3)
        assert not got
        with hardware.claimed_gpus(2, tmp_path) as others:  # it holds none while it waits
            assert others == ["2", "3"]
    waiting.join(timeout=5)
    assert got == [["0", "1", "2"]]


def test_a_killed_process_gives_its_gpus_back(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from ilsvrc.runtime import hardware\n"
        f"with hardware.claimed_gpus(4, Path({str(tmp_path)!r})): print('mine', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"mine\n"
        holder.kill()
    with hardware.claimed_gpus(1, tmp_path) as mine:
        assert mine == ["0"]


def test_more_than_there_are_is_a_users_mistake(tmp_path):
    with pytest.raises(ValueError, match=r"5 GPUs are asked for and 4 there \(0, 1, 2, 3\)"):
        hardware.claimed_gpus(5, tmp_path).__enter__()


def test_none_is_asked_for_on_a_machine_without(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with hardware.claimed_gpus(0, tmp_path) as mine:
        assert mine == []
    with pytest.raises(ValueError, match=r"1 GPUs are asked for and 0 there \(none\)"):
        hardware.claimed_gpus(1, tmp_path).__enter__()


def test_a_schedulers_choice_for_a_job_stands(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    with hardware.claimed_gpus(2, tmp_path) as mine:
        assert mine == ["2", "3"]
        with hardware.claimed_gpus(2, tmp_path) as same_numbers_on_another_node:
            assert same_numbers_on_another_node == ["2", "3"]


def test_jobs_inside_one_allocation_share_it_out(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with hardware.claimed_gpus(1, tmp_path) as first, hardware.claimed_gpus(1, tmp_path) as second:
        assert first != second


def test_machines_with_one_folder_do_not_wait_for_each_other(tmp_path, monkeypatch):
    with hardware.claimed_gpus(4, tmp_path):
        monkeypatch.setattr(hardware.platform, "node", lambda: "another")
        with hardware.claimed_gpus(4, tmp_path) as mine:
            assert mine == ["0", "1", "2", "3"]


def test_versions_and_machine_are_stated():
    assert {"python", "torch", "mlflow"} <= hardware.versions().keys()
    assert " cores of " in hardware.describe() and hardware.describe().endswith(" GB")


def test_the_commit_is_that_of_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hardware.commit() == {"commit": None, "dirty": None}
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    (tmp_path / "file").write_text("1")
    for words in (["init", "-q"], ["add", "file"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert hardware.commit() == {"commit": head, "dirty": False}
    Path("other").write_text("untracked")
    assert hardware.commit()["dirty"] is False
    (tmp_path / "file").write_text("2")
    assert hardware.commit()["dirty"] is True
