import random
from pathlib import Path

import pytest
import tiny
import torch

from ilsvrc.training import checkpoint
from ilsvrc.training.loop import train_step
from ilsvrc.training.state import Progress
from ilsvrc.training.weight_averaging import WeightAverage

IDENTITY = {"spec": '{"seed":0}', "manifest_sha256": "ab"}


@pytest.fixture
def saved(tmp_path) -> Path:
    training = tiny.training()
    training.schedule.errors[:] = [50.0, 40.0]
    train_step(training, tiny.batch(0), step=0)
    progress = Progress(history=[{"epoch": 1, "train_loss": 2.5, "validation_top5_error_percent": None}], step=3)
    checkpoint.save(tmp_path, training, progress, identity=IDENTITY, machine={"precision": "float32"})
    return tmp_path


def test_what_was_saved_comes_back(saved):
    content, why = checkpoint.load(saved, IDENTITY)
    training = tiny.training()
    progress = checkpoint.restore(content, training)
    assert (why, progress.step, progress.history[0]["train_loss"]) == ("", 3, 2.5)
    assert training.schedule.errors == [50.0, 40.0]
    assert content["machine"] == {"precision": "float32"}
    reference = tiny.training()
    train_step(reference, tiny.batch(0), step=0)
    assert torch.equal(training.network.linear.weight, reference.network.linear.weight)
    for found, expected in zip(
        *(t.optimizer.state_dict()["state"].values() for t in (training, reference)), strict=True
    ):
        assert torch.equal(found["momentum_buffer"], expected["momentum_buffer"])


def test_a_folder_without_one_says_nothing(tmp_path):
    assert checkpoint.load(tmp_path, IDENTITY) == (None, "")


@pytest.mark.parametrize("other", [{"spec": '{"seed":1}'}, {"manifest_sha256": "cd"}])
def test_one_of_another_specification_or_other_data_is_ignored_with_a_line(saved, other):
    content, why = checkpoint.load(saved, IDENTITY | other)
    assert content is None
    assert why == f"{saved}/checkpoint.pt is of another specification or other data; training starts anew"


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"no archive" * 9])
def test_a_damaged_one_is_ignored_with_a_line(saved, damage):
    path = saved / checkpoint.NAME
    path.write_bytes(damage(path.read_bytes()))
    content, why = checkpoint.load(saved, IDENTITY)
    assert content is None
    assert why.startswith(f"{path} is damaged (") and why.endswith("training starts anew")


def test_one_with_code_in_it_is_not_run(saved, tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "touched",))

    torch.save({"format": checkpoint.FORMAT, "identity": IDENTITY, "evil": Evil()}, saved / checkpoint.NAME)
    assert "damaged (UnpicklingError)" in checkpoint.load(saved, IDENTITY)[1]
    assert not (tmp_path / "touched").exists()


def test_a_save_that_breaks_leaves_the_last_one(saved, monkeypatch):
    def half(content, file):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="the disk is full"):
        checkpoint.save(saved, tiny.training(), Progress(), identity=IDENTITY)
    assert checkpoint.load(saved, IDENTITY)[0]["progress"]["step"] == 3


def test_a_damaged_one_gives_way_to_the_one_before_with_a_line(saved):
    checkpoint.save(saved, tiny.training(), Progress(step=7), identity=IDENTITY)
    assert checkpoint.load(saved, IDENTITY)[0]["progress"]["step"] == 7
    (saved / checkpoint.NAME).write_bytes(b"half")
    content, why = checkpoint.load(saved, IDENTITY)
    assert content["progress"]["step"] == 3
    assert "checkpoint.pt is damaged" in why
    assert why.endswith(f"going on from the checkpoint before it, {saved / checkpoint.BEFORE}")


def test_a_flipped_bit_anywhere_is_seen_before_anything_is_used(saved, monkeypatch):
    checkpoint.save(saved, tiny.training(), Progress(step=7), identity=IDENTITY)
    path, chosen, opened = saved / checkpoint.NAME, random.Random(0), []
    whole, load = path.read_bytes(), torch.load
    monkeypatch.setattr(torch, "load", lambda path, **options: opened.append(path) or load(path, **options))
    ends = [place / len(whole) for place in (0, *range(len(whole) - 25, len(whole)))]
    for place in (*ends, *(chosen.random() for _ in range(100))):
        path.write_bytes(whole)
        flip(path, place)
        content, why = checkpoint.load(saved, IDENTITY)
        assert content["progress"]["step"] == 3
        assert "checkpoint.pt is damaged" in why
    assert set(opened) == {saved / checkpoint.BEFORE}


def flip(path, place):
    """Flips a bit, `place` from 0 to 1."""
    content = bytearray(path.read_bytes())
    bit = int(place * 8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_one_from_before_there_were_checksums_comes_back_bit_for_bit(saved):
    content, _ = checkpoint.load(saved, IDENTITY)
    torch.save(content, saved / checkpoint.NAME)
    (found, why) = checkpoint.load(saved, IDENTITY)
    assert why == ""
    assert torch.equal(found["network"]["linear.weight"], content["network"]["linear.weight"])
    assert found["progress"] == content["progress"]


def test_an_earlier_release_reads_one_with_a_checksum(saved):
    found = torch.load(saved / checkpoint.NAME, map_location="cpu", weights_only=True)
    assert found["progress"]["step"] == 3


def test_a_death_between_the_two_renames_loses_nothing(saved):
    (saved / checkpoint.NAME).rename(saved / checkpoint.BEFORE)
    assert checkpoint.load(saved, IDENTITY)[0]["progress"]["step"] == 3


def test_averages_come_back(tmp_path):
    training = tiny.training()
    training.weight_average = WeightAverage(training.network, "exponential", 0.9)
    train_step(training, tiny.batch(0), step=0)
    checkpoint.save(tmp_path, training, Progress(), identity=IDENTITY)
    again = tiny.training()
    again.weight_average = WeightAverage(again.network, "exponential", 0.9)
    checkpoint.restore(checkpoint.load(tmp_path, IDENTITY)[0], again)
    assert again.weight_average.count == 1
    with training.swapped(), again.swapped():
        assert torch.equal(training.network.linear.weight, again.network.linear.weight)
