"""Code tasks where the kernel offers less: the sandbox that is used is named, and the verdicts stay the same."""
import ctypes
import pathlib
import platform
import struct
import tempfile
import unittest

from small_world import REPOSITORY, differences, make_world, rocket, without_sandbox

CODE = REPOSITORY / "configs/lab-code.yaml"
CLONE = {"x86_64": 56, "aarch64": 220}[platform.machine()]
UNSHARE = {"x86_64": 272, "aarch64": 97}[platform.machine()]
CLONE3, LANDLOCK = 435, 444
NEW_NAMESPACES = 0x7E020000
EPERM, ENOSYS, ALLOW, ERROR = 1, 38, 0x7FFF0000, 0x00050000


def kernel_without(namespaces=False, landlock=False):
    """A preexec_fn: seccomp denies them as a container does."""
    load_number, load_flags = (0x20, 0, 0, 0), (0x20, 0, 0, 16)
    program = [load_number]
    if landlock:
        program += [(0x15, 0, 1, LANDLOCK), (0x06, 0, 0, ERROR | ENOSYS)]
    if namespaces:
        program += [(0x15, 0, 1, CLONE3), (0x06, 0, 0, ERROR | ENOSYS), (0x15, 0, 1, UNSHARE), (0x06, 0, 0, ERROR | EPERM),
                    (0x15, 0, 3, CLONE), load_flags, (0x45, 0, 1, NEW_NAMESPACES), (0x06, 0, 0, ERROR | EPERM)]
    program.append((0x06, 0, 0, ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    library = ctypes.CDLL(None, use_errno=True)

    def deny():
        header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
        if library.prctl(38, 1, 0, 0, 0) or library.prctl(22, 2, header, 0, 0):
            raise OSError(ctypes.get_errno(), "seccomp")
    return deny


class Sandbox(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for kind, other in (("namespaces", "landlock"), ("landlock", "namespaces")):
            if reason := without_sandbox(preexec_fn=kernel_without(**{other: True})):
                raise unittest.SkipTest(f"without {kind}: {reason}")

    def test_check_says_which_is_used(self):
        self.assertIn("programs run in bubblewrap's namespaces, with the standard library of Python", rocket("check", CODE).stdout)
        plain_container = rocket("check", CODE, preexec_fn=kernel_without(namespaces=True)).stdout
        self.assertRegex(plain_container, r"programs run in Landlock, seccomp and limits \(no namespaces: .*bwrap.*\), with the standard library of Python .*\n")

    def test_neither_is_refused_with_both_reasons(self):
        for job in "check", "score":
            with tempfile.TemporaryDirectory() as folder:
                done = rocket(job, CODE, "--set", f"run={folder}/run", check=False,
                              preexec_fn=kernel_without(namespaces=True, landlock=True))
                self.assertEqual((done.returncode, done.stdout), (78, ""))
                self.assertRegex(done.stderr, r"neither.*bwrap.*kernel has no Landlock.*not run without isolation")

    def test_the_verdicts_are_the_same(self):
        with tempfile.TemporaryDirectory() as folder:
            config = make_world(folder, task="code", adapters=("home", "tool"), shots=6)
            runs = {}
            for kind, word in (("namespaces", "bubblewrap"), ("landlock", "Landlock")):
                runs[kind] = pathlib.Path(folder) / kind
                done = rocket("score", config, "--set", "task.answer=code", "--set", f"run={runs[kind]}",
                              preexec_fn=kernel_without(namespaces=kind == "landlock"))
                self.assertIn(f"programs run in {word}", done.stderr)
            self.assertEqual(differences(*runs.values(), files=("score.h5",)), [])


if __name__ == "__main__":
    unittest.main()
