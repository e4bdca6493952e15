import struct
from pathlib import Path

from torch.utils.tensorboard.writer import SummaryWriter

from mnv2_dense.reporting.clock import Session, read_sessions


def write(folder: Path, *times: float) -> Path:
    """What TensorBoard's writer leaves: a first event of its own, of now, and these."""
    with SummaryWriter(str(folder), filename_suffix=f"-{len(list(folder.glob('*')))}") as writer:
        for step, time in enumerate(times):
            writer.add_scalar("loss", 1.0, step, walltime=time)
    return max(folder.iterdir(), key=lambda path: path.name[-1])


def test_a_session_lasts_from_its_first_event_to_its_last(tmp_path: Path) -> None:
    write(tmp_path, 3e9, 3e9 + 5)
    write(tmp_path, 4e9, 4e9 + 60, 4e9 + 90)
    sessions = read_sessions(tmp_path)
    assert [session.ended for session in sessions] == [3e9 + 5, 4e9 + 90]
    assert all(session.began < 3e9 for session in sessions)


def test_a_file_that_a_kill_cut_short(tmp_path: Path) -> None:
    path = write(tmp_path, 4e9, 4e9 + 60, 4e9 + 90)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert read_sessions(tmp_path)[0].ended == 4e9 + 60


def event(time: float) -> bytes:
    """A record that holds a time alone."""
    return struct.pack("<QI", 9, 0) + b"\x09" + struct.pack("<d", time) + bytes(4)


def test_other_content_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.1").write_bytes(b"\xff" * 64)
    (tmp_path / "events.out.tfevents.2").touch()
    (tmp_path / "events.out.tfevents.3").mkdir()
    (tmp_path / "events.out.tfevents.4").write_bytes(event(5.0))  # A single event is no time.
    (tmp_path / "hparams.yaml").touch()
    assert read_sessions(tmp_path) == []
    assert read_sessions(tmp_path / "none") == []
    (tmp_path / "events.out.tfevents.5").write_bytes(event(5.0) + event(8.5))
    assert read_sessions(tmp_path) == [Session(5.0, 8.5)]
