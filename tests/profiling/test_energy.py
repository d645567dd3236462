"""Counters of energy: those of a made-up machine."""

from pathlib import Path

import pytest

from ilsvrc.profiling import energy

ZONES = {
    "intel-rapl:0": ("package-0", 5_000_000),
    "intel-rapl:0:0": ("core", 1_000_000),  # in the package
    "intel-rapl:0:1": ("dram", 2_000_000),
    "intel-rapl:1": ("psys", 9_000_000),  # holds all of them
}


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    for zone, (name, microjoules) in ZONES.items():
        folder = tmp_path / zone
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n")
        (folder / "energy_uj").write_text(f"{microjoules}\n")
        (folder / "max_energy_range_uj").write_text("10000000\n")
    return tmp_path


def test_joules_are_those_of_packages_and_memory(powercap):
    counter = energy.rapl(powercap)
    assert isinstance(counter, energy.Counter)
    assert counter.source == "RAPL: package-0, dram"
    before = counter.read()
    (powercap / "intel-rapl:0/energy_uj").write_text("7500000\n")
    (powercap / "intel-rapl:0:1/energy_uj").write_text("2250000\n")
    assert counter.between(before, counter.read()) == pytest.approx(2.5 + 0.25)


def test_a_counter_that_began_again_is_read_right(powercap):
    counter = energy.rapl(powercap)
    assert counter.between([9.0, 2.0], [1.0, 2.0]) == pytest.approx(2.0)


def test_a_machine_without_counters_says_so(tmp_path):
    assert energy.rapl(tmp_path) == f"not measured: this machine has no energy counters (RAPL) under {tmp_path}"


def test_a_counter_that_may_not_be_read_says_so(powercap):
    (powercap / "intel-rapl:0/energy_uj").unlink()
    assert "energy_uj cannot be read (No such file or directory)" in energy.rapl(powercap)


def test_a_gpu_without_its_drivers_library_says_so(monkeypatch):
    def absent(name):
        raise OSError(name)

    monkeypatch.setattr(energy.ctypes, "CDLL", absent)
    assert energy.counter("cuda", "GPU-0") == "not measured: the driver's library, libnvidia-ml.so.1, is not there"


def test_a_gpus_counter_is_read_in_joules(monkeypatch):
    class Library:
        def nvmlInit_v2(self):  # noqa: N802
            return 0

        def nvmlDeviceGetHandleByUUID(self, uuid, handle):  # noqa: N802
            return 0 if uuid == b"GPU-1" else 6

        def nvmlDeviceGetTotalEnergyConsumption(self, handle, millijoules):  # noqa: N802
            millijoules._obj.value = 1500
            return 0

    monkeypatch.setattr(energy.ctypes, "CDLL", lambda name: Library())
    assert energy.counter("cuda", "GPU-1").read() == [1.5]
    assert energy.counter("cuda", "GPU-2") == "not measured: NVML answers with error 6"
