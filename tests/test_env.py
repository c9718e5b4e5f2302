"""The environment: what llama.cpp is compiled with."""

import env
import pytest

AMX = "flags\t\t: fpu avx2 avx512f amx_bf16 avx512_fp16 amx_tile amx_int8\n"


@pytest.mark.parametrize(
    ("cpu", "off"), [(AMX, True), ("flags\t\t: fpu avx2 avx512f\n", False), ("Features : asimd", False)]
)
def test_tiles_of_the_cpu_are_left_alone(tmp_path, cpu, off):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\n{cpu}processor\t: 1\n{cpu}")
    assert env.build_flags(path).split() == (["-mno-amx-tile", "-mno-amx-int8", "-mno-amx-bf16"] if off else [])
    assert env.build_flags(tmp_path / "none") == ""


def test_an_environment_of_other_flags_is_stale(monkeypatch):
    stamps = {}
    for flags in ("", "-mno-amx-tile"):
        monkeypatch.setattr(env, "build_flags", lambda flags=flags: flags)
        stamps[flags] = env.stamp()
    assert len(set(stamps.values())) == 2


def test_what_is_compiled_here_uses_no_tiles():
    """In the environment that runs the tests, whatever its CPU."""
    import llama_cpp

    assert "AMX_INT8 = 1" not in llama_cpp.llama_print_system_info().decode()
