"""Kills a training again and again, resumes it each time, and holds it against an undisturbed one.

python docs/experiments/kills/kill.py detection OUT --kills 105 [--seed 0] [key.path=value ...]
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The fork server must find the launcher, and every process has one thread.
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(HERE))

from compare import compare, hashes, log_rows, lost_steps  # noqa: E402
from sessions import Session, place_of  # noqa: E402

from mnv2_dense.shapes.dataset import generate  # noqa: E402

TRAIN_IMAGES, VAL_IMAGES = 24, 10
PACE = 8e6
"""Bytes per second at which a session writes: about half of its time goes into saving."""

EARLY_SHARE, MAIN_SHARE, WORKER_SHARE = 0.12, 0.15, 0.1
"""Shares of the kills in the start-up, of the training process alone, and of a worker alone."""

START_SECONDS = {False: 3.0, True: 12.0}
"""How long start-up takes, forked and as an own process, until it has been seen."""

EVALUATION_SECONDS = 0.5

Row = dict[str, object]


class Harness:
    """A run that is killed until it has had its kills, then left to end.

    Args:
        task: `detection` or `segmentation`.
        folder: Where everything goes; a harness that was stopped there goes on.
        overrides: Changes to the config beside this file.
        kills: How many it is to have.
        seed: Decides the kills.
        own_share: Share of the sessions that are processes of their own.
        final_share: Share of the kills that is kept for the final evaluation.
    """

    def __init__(
        self,
        task: str,
        folder: Path,
        overrides: list[str],
        *,
        kills: int,
        seed: int,
        own_share: float,
        final_share: float,
    ) -> None:
        self.wanted = kills
        self.config = HERE / f"{task}.yaml"
        self.name = f"kills_{task}"
        self.folder = folder.resolve()
        self.overrides = [*overrides, f"data.root={self.folder / 'shapes'}"]
        self.random = random.Random(seed)
        self.own_share, self.final_share = own_share, final_share
        self.sessions: list[Session] = []
        self.earlier = len(list(self.folder.glob("sessions/*.out")))
        self.kills: list[Row] = self.read_kills()
        self.step_seconds = 1.0
        self.start_seconds = dict(START_SECONDS)
        self.total = 0
        self.durable, self.patience = -1, 1.0

    def run_undisturbed(self) -> Path:
        """The run that nothing happens to; draws the data set first."""
        if (run := self.finished_run("undisturbed")) is None:
            self.folder.mkdir(parents=True)
            (self.folder / "sessions").mkdir()
            data = self.folder / "shapes"
            generate(data, train_images=TRAIN_IMAGES, val_images=VAL_IMAGES, size=80)
            command = [sys.executable, HERE.parents[2] / "tools" / "train.py"]
            with (self.folder / "undisturbed.out").open("w") as out:
                subprocess.run([*command, *self.arguments("undisturbed")], check=True, stdout=out)
            run = self.finished_run("undisturbed")
        assert run is not None
        self.total = sum("train/loss" in row for row in log_rows(run))
        return run

    def arguments(self, output: str) -> list[str]:
        """The command line behind `tools/train.py`."""
        return [str(self.config), *self.overrides, f"training.output={self.folder / output}"]

    def finished_run(self, output: str) -> Path | None:
        """The run that was measured at its end; there is at most one."""
        found = list((self.folder / output / self.name).glob("*/metrics.json"))
        assert len(found) < 2, f"a finished run was begun again: {found}"
        return found[0].parent if found else None

    def start(self) -> tuple[Session, bool]:
        """A session that goes on with the run, or begins it."""
        own = self.random.random() < self.own_share
        arguments = [*self.arguments("killed"), "--resume", "auto"]
        session = Session(
            self.folder / "sessions",
            self.earlier + len(self.sessions),
            own=own,
            pace=PACE,
            arguments=arguments,
        )
        self.sessions.append(session)
        return session, own

    @property
    def left(self) -> int:
        """Kills that are still to come."""
        return self.wanted - len(self.kills)

    def kill_once(self) -> bool:
        """Starts a session and kills it; False when it ended by itself before."""
        session, own = self.start()
        early = self.random.random() < EARLY_SHARE
        if early:
            time.sleep(self.random.uniform(0, self.start_seconds[own]))
        else:
            time.sleep(self.choose_delay(session))
        if session.code is not None:
            if session.code != 0:
                raise SystemExit(f"{session.output}: exit code {session.code}")
            return False
        chance = self.random.random()
        who = "main" if chance < MAIN_SHARE else "group"
        who = "worker" if chance > 1 - WORKER_SHARE else who
        after = time.monotonic() - session.began
        who = session.kill(who)
        place = place_of(session.events())
        code = session.wait(300)
        if code is None:
            session.kill("group")
        self.note(session, own=own, who=who, after=after, place=place, code=code)
        return True

    def choose_delay(self, session: Session) -> float:
        """Seconds from the first new step, so that the run lasts for the kills that are left."""
        final = self.final_share * self.wanted
        awaited = ("evaluation", "end") if self.left <= final else ("step", "evaluation", "end")
        event = session.wait_for(*awaited)
        if event is None or not event.startswith("step"):
            return self.random.uniform(0, EVALUATION_SECONDS)
        resumed = session.resumed_at() or 0
        # An epoch's last step is saved behind the validation, which takes longer than a step.
        self.patience = 1.0 if resumed > self.durable else 1.5 * self.patience
        self.durable = max(self.durable, resumed)
        steps = (self.total - self.durable) / max(self.left - final, 1)
        most = 2 * max(steps, 0.5) * self.patience
        # The run must not end before it has had its kills.
        most = min(most, 0.8 * max(self.total - resumed, 1))
        return self.random.uniform(0, most * self.step_seconds)

    def read_kills(self) -> list[Row]:
        """The kills of a harness that was stopped."""
        path = self.folder / "kills.csv"
        if not path.exists():
            return []
        with path.open(newline="") as file:
            return [dict(row) for row in csv.DictReader(file)]

    def note(
        self, session: Session, *, own: bool, who: str, after: float, place: str, code: int | None
    ) -> None:
        """Adds a row to the table of kills."""
        times = session.times("step")
        if len(times) > 1:
            pace = (times[-1] - times[0]) / (len(times) - 1)
            self.step_seconds += 0.3 * (pace - self.step_seconds)
        if begun := session.times("training"):
            self.start_seconds[own] = begun[0] - session.began
        last = session.output.read_text().splitlines() if session.output.exists() else []
        row: Row = {
            "kill": len(self.kills) + 1,
            "process": "own" if own else "forked",
            "killed": who,
            "seconds": round(after, 2),
            "resumed_at": session.resumed_at(),
            "steps": len(session.steps()),
            "place": place,
            "code": code,
            "message": last[-1] if who == "worker" and last else "",
        }
        self.kills.append(row)
        with (self.folder / "kills.csv").open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if len(self.kills) == 1:
                writer.writeheader()
            writer.writerow(row)

    def finish(self) -> Path:
        """Lets the run end."""
        session, _ = self.start()
        if session.wait(600) != 0:
            raise SystemExit(f"{session.output}: exit code {session.code}")
        run = self.finished_run("killed")
        assert run is not None
        return run


def report(harness: Harness, undisturbed: Path, killed: Path, seconds: float) -> dict[str, object]:
    """What came of it, and the table of where the kills fell."""
    different = compare(undisturbed, killed)
    traces = (harness.folder / "sessions").glob("*.trace")
    taken = sum(trace.read_text().count(" step ") for trace in traces)
    places = Counter(str(row["place"]) for row in harness.kills)
    left_over = [pid for session in harness.sessions for pid in session.left_over()]
    return {
        "kills": len(harness.kills),
        "of_processes": Counter(f"{row['killed']}, {row['process']}" for row in harness.kills),
        "places": dict(places.most_common()),
        "codes_after_worker": Counter(
            str(row["code"]) for row in harness.kills if row["killed"] == "worker"
        ),
        "messages_after_worker": Counter(str(row["message"]) for row in harness.kills),
        "sessions": harness.earlier + len(harness.sessions),
        "steps": harness.total,
        "steps_redone": taken - harness.total,
        "steps_lost": lost_steps(undisturbed, killed),
        "different": different,
        "hashes": hashes(killed),
        "processes_left_over": left_over,
        "minutes": round(seconds / 60, 1),
    }


def run(harness: Harness) -> dict[str, object]:
    """The undisturbed run, the killed one, and their comparison."""
    began = time.monotonic()
    undisturbed = harness.run_undisturbed()
    while harness.left and harness.kill_once():
        if harness.finished_run("killed"):  # killed behind its last file
            break
    killed = harness.finished_run("killed") or harness.finish()
    time.sleep(10)  # A loader's worker looks for its parent every five seconds.
    return report(harness, undisturbed, killed, time.monotonic() - began)


def main() -> None:
    """Reads the command line, kills, and writes report.json; exit code 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=("detection", "segmentation"))
    parser.add_argument("out", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    parser.add_argument("--kills", type=int, default=105)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--own-share", type=float, default=0.2)
    parser.add_argument("--final-share", type=float, default=0.08)
    options = parser.parse_args()
    harness = Harness(
        options.task,
        options.out,
        options.overrides,
        kills=options.kills,
        seed=options.seed,
        own_share=options.own_share,
        final_share=options.final_share,
    )
    result = run(harness)
    text = json.dumps(result, indent=2)
    (options.out / "report.json").write_text(text + "\n")
    print(text)
    good = not result["different"] and not result["steps_lost"]
    sys.exit(0 if good and len(harness.kills) >= options.kills else 1)


if __name__ == "__main__":
    main()
