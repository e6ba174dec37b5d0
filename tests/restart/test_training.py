"""What ends a training early: damaged checkpoints, a loss that jumps, a full disk. Each says what to do, and afterwards the same bits come out."""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "program"))
from small_world import ROCKET, differences, environment, make_world, rocket  # noqa: E402

DATA, STORAGE = 65, 74
SHOTS, BATCH = 6, 4

# $1: where the small disk goes, $2: the run, $3: KiB of room beside it, $4: what comes of it; then the command, whose last word is run=$1.
ON_A_SMALL_DISK = """
set -e
mount -t tmpfs tmpfs "$1"
cp -r "$2/." "$1"
used=$(df --output=used -k "$1" | tail -n 1)
mount -o remount,size=$((used + $3))k "$1"
disk=$1 after=$4
shift 4
code=0
"$@" || code=$?
echo "ended with $code, left" $(ls -A "$disk/checkpoints")
mount -o remount,size=1g "$disk"
"$@"
cp -r "$disk" "$after"
"""


class Training(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.config = make_world(cls.folder, shots=SHOTS, retrieve=40,
                                training={"learning_rate": 1.0e-5, "epochs": 4, "global_batch": BATCH, "checkpoint_every": 5})
        cls.prepared, cls.whole = cls.folder / "prepared", cls.folder / "whole"
        for job in ("score", "experts", "embed", "select"):
            rocket(job, cls.config, "--set", f"run={cls.prepared}")
        shutil.copytree(cls.prepared, cls.whole)
        rocket("finetune", cls.config, "--set", f"run={cls.whole}")

    def batch_size(self, step):
        """Examples of an update: the records and the shots; an epoch's last batch holds the rest."""
        examples = len((self.whole / "selected.jsonl").read_text().splitlines()) + SHOTS
        in_epoch = -(-examples // BATCH)
        return min(BATCH, examples - BATCH * ((step - 1) % in_epoch))

    def copy(self, run, name):
        shutil.copytree(run, self.folder / name)
        return self.folder / name

    def finetune(self, run, *more, check=True):
        return rocket("finetune", self.config, "--set", f"run={run}", *more, check=check)

    def assert_goes_on_to_the_same_bits(self, run):
        self.finetune(run)
        self.assertEqual(differences(self.whole, run, files=("training.h5",)), [])

    def test_damaged_checkpoints_name_the_way_back(self):
        other = self.copy(self.prepared, "other settings")
        self.finetune(other, "--set", "training.weight_decay=0.1")

        def flipped(data, at):
            return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]

        cases = {
            "torn": (lambda path: path.read_bytes()[:path.stat().st_size // 2], "checksum"),
            "of another run": (lambda path: (other / "checkpoints" / path.name).read_bytes(), "other settings or inputs"),
            "with a flipped bit in its head": (lambda path: flipped(path.read_bytes(), 8), "its checksum does not fit"),
            "with a flipped bit among its values": (lambda path: flipped(path.read_bytes(), 200_000), "its checksum does not fit"),
        }
        for name, (damage, reason) in cases.items():
            run = self.copy(self.whole, name)
            (run / "training.h5").unlink()  # the job is not finished any more
            before, newest = sorted((run / "checkpoints").glob("*.h5"))
            whole = newest.read_bytes()
            newest.write_bytes(damage(newest))
            self.assertNotEqual(newest.read_bytes(), whole, name)
            done = self.finetune(run, check=False)
            self.assertEqual(done.returncode, DATA, f"{name}: {done.stderr}")
            for part in (str(newest), reason, f"delete it to go back to {before.name}"):
                self.assertIn(part, done.stderr, name)
            newest.unlink()
            self.assert_goes_on_to_the_same_bits(run)

    def test_a_jump_of_the_loss_names_step_records_and_checkpoint(self):
        run = self.copy(self.prepared, "jump")
        done = self.finetune(run, "--set", "training.spike_z=0.01", check=False)
        self.assertEqual(done.returncode, DATA, done.stderr)
        step = int(re.search(r"step (\d+): the loss of .* standard deviations above", done.stderr)[1])
        self.assertGreater(step, 32)
        events = [json.loads(line) for line in (run / "events/rank-00000.jsonl").read_text().splitlines()]
        self.assertEqual(max(e["step"] for e in events if e["what"] == "step"), step - 1)
        checkpoint = pathlib.Path(re.search(r"the last good checkpoint is (\S+\.h5)\.", done.stderr)[1])
        self.assertEqual(checkpoint, sorted((run / "checkpoints").glob("*.h5"))[-1])
        selected = [json.loads(line)["record"] for line in (run / "selected.jsonl").read_text().splitlines()]
        named = re.findall(r"selected\.jsonl:(\d+) \(record (\d+) of the corpus\)", done.stderr)
        shots = re.findall(r"shots\.jsonl:\d+", done.stderr)
        self.assertEqual(len(named) + len(shots), self.batch_size(step))
        for line, record in named:
            self.assertEqual(selected[int(line) - 1], int(record))
        self.assert_goes_on_to_the_same_bits(run)

    def test_a_full_disk_ends_with_the_last_checkpoint_intact(self):
        if subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", str(self.folder)],
                          capture_output=True).returncode:
            self.skipTest("no small file system can be mounted here")
        disk, after = self.folder / "disk", self.folder / "after"
        disk.mkdir()
        size = max(p.stat().st_size for p in (self.whole / "checkpoints").glob("*.h5")) // 1024
        done = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh", str(disk),
                               str(self.prepared), str(size * 3 // 2), str(after), str(ROCKET), "finetune", str(self.config), "--set", f"run={disk}"],
                              env=environment(), capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines()[0], f"ended with {STORAGE}, left step-0000005.h5")
        self.assertIn("step-0000010.h5", done.stderr)
        self.assertIn("No space left on device", done.stderr)
        self.assertEqual(differences(self.whole, after, files=("training.h5",)), [])


if __name__ == "__main__":
    unittest.main()
