#include "evaluation/sandbox.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "evaluation/child_process.h"

namespace rocket {
namespace {

using std::chrono::duration;
using std::chrono::steady_clock;

template <class F>
double seconds(const F& f) {
  const auto start = steady_clock::now();
  f();
  return duration<double>(steady_clock::now() - start).count();
}

/// A temporary folder of the host, outside any sandbox.
class HostFolder {
 public:
  HostFolder() : path_(std::filesystem::temp_directory_path() / ("rocket-host-" + std::to_string(getpid()))) {
    std::filesystem::create_directory(path_);
  }
  ~HostFolder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Where this process puts temporary files, for a while.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::filesystem::path& path) {
    if (const char* before = getenv("TMPDIR")) before_ = before;
    setenv("TMPDIR", path.c_str(), 1);
  }
  ~TemporaryFolder() { before_ ? setenv("TMPDIR", before_->c_str(), 1) : unsetenv("TMPDIR"); }

 private:
  std::optional<std::string> before_;
};

/// The sandbox, or why this machine has it not.
struct Candidate {
  std::optional<Sandbox> sandbox;
  std::string lacks;
};

const Candidate& candidate(const std::string& kind) {
  static std::map<std::string, Candidate> candidates;
  const auto [place, is_new] = candidates.try_emplace(kind);
  if (is_new) {
    try {
      place->second.sandbox = kind == "namespaces" ? Sandbox::with_namespaces() : Sandbox::with_landlock();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::config);
      place->second.lacks = e.what();
    }
  }
  return place->second;
}

/// Both ways of isolation are held by the same programs.
class BothSandboxes : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!candidate(GetParam()).sandbox) GTEST_SKIP() << candidate(GetParam()).lacks;
  }
  static const Sandbox& sandbox() { return *candidate(GetParam()).sandbox; }
  static bool passes_tests(const std::string& program, const std::vector<std::string>& tests) {
    return sandbox().passes_tests(program, tests);
  }
  /// True iff the statements do their work; each says itself, by assert, whether it did.
  static bool runs(const std::string& program, const SandboxLimits& limits = {}) {
    return sandbox().passes_tests(program, {}, limits);
  }
};
/// All in one program; where that fails, each in one of its own.
void expect_all(const Sandbox& sandbox, const std::string& beginning,
                const std::vector<std::string>& attempts) {
  std::string all = beginning;
  for (const auto& attempt : attempts) all += attempt;
  if (sandbox.passes_tests(all, {})) return;
  ADD_FAILURE() << "together, or:";
  for (const auto& attempt : attempts) EXPECT_TRUE(sandbox.passes_tests(beginning + attempt, {})) << attempt;
}

INSTANTIATE_TEST_SUITE_P(Sandbox, BothSandboxes, testing::Values("namespaces", "landlock"),
                         [](const auto& info) { return info.param; });

std::string denied(const std::string& statements) {
  return "try:\n    " + statements +
         "\nexcept OSError:\n    pass\nelse:\n    raise SystemExit('was allowed')\n";
}

std::vector<std::string> each_denied(const std::vector<std::string>& statements) {
  std::vector<std::string> attempts;
  for (const auto& one : statements) attempts.push_back(denied(one));
  return attempts;
}

TEST_P(BothSandboxes, RunsTheTestsAfterTheProgram) {
  const std::string program = "def f(x): return (x + 3) * 2";
  EXPECT_TRUE(passes_tests(program, {"assert f(1) == 8", "assert f(0) == 6"}));
  EXPECT_FALSE(passes_tests(program, {"assert f(1) == 8", "assert f(0) == 7"}));
  EXPECT_FALSE(passes_tests("def f(x): return", {"assert f(1) == 8"}));
  EXPECT_FALSE(passes_tests("def f(x) return", {}));
  EXPECT_FALSE(passes_tests("", {"assert f(1) == 8"}));
  EXPECT_TRUE(passes_tests("x = 'Grüße \\u2028 日本'", {"assert len(x) == 10"}));
}

TEST_P(BothSandboxes, TheStandardLibraryIsThere) {
  EXPECT_TRUE(
      runs("import collections, dataclasses, decimal, functools, hashlib, heapq, itertools, json, math, re\n"
           "assert hashlib.sha256(b'').hexdigest().startswith('e3b0')"));
  EXPECT_TRUE(passes_tests("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: 'int' = 1",
                           {"assert P() == P(1)", "assert __name__ == '__main__'"}));
}

/// A folder with distributions as pip installs them, in PYTHONPATH for a while.
class Distributions {
 public:
  Distributions() { setenv("PYTHONPATH", folder_.path().c_str(), 1); }
  ~Distributions() { unsetenv("PYTHONPATH"); }
  void add(const std::string& name, const std::string& module, const std::string& source,
           const std::string& metadata = "") {
    write(module, source);
    std::string folder = name;  // a hyphen parts name and version
    std::ranges::replace(folder, '-', '_');
    const std::string info = folder + "-1.5.dist-info";
    write(info + "/METADATA", "Metadata-Version: 2.1\nName: " + name + "\nVersion: 1.5\n" + metadata);
    write(info + "/RECORD", module + ",,\n" + info + "/METADATA,,\n");
  }

 private:
  void write(const std::string& file, const std::string& text) const {
    const auto path = folder_.path() / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  HostFolder folder_;
};

TEST_P(BothSandboxes, PackagesThatATaskNamesAreThereAndNoOthers) {
  Distributions installed;
  installed.add("Ship-Math", "shipmath/inner.py", "four = 4\n");
  installed.add("Ship-Math", "shipmath/__init__.py", "from shipbase import two\nfrom . import inner\n",
                "Requires-Dist: ship_base (>=1.0)\nRequires-Dist: absent; extra == 'x'\n");
  installed.add("ship_base", "shipbase.py", "two = 2\n");
  installed.add("other", "other.py", "x = 1\n");
  const auto with = GetParam() == "namespaces" ? &Sandbox::with_namespaces : &Sandbox::with_landlock;
  for (const char* name : {"shipmath", "Ship-Math"}) {
    const Sandbox made = with({name});
    EXPECT_TRUE(made.passes_tests("import shipmath", {"assert shipmath.two * 2 == shipmath.inner.four"}))
        << name;
    EXPECT_FALSE(made.passes_tests("import other", {})) << name;
    EXPECT_THAT(made.offers(), testing::StartsWith("the standard library of Python 3."));
    EXPECT_THAT(made.offers(), testing::EndsWith(", Ship-Math 1.5"));
  }
  EXPECT_FALSE(with({}).passes_tests("import shipmath", {}));
  try {
    with({"shipmoth"});
    ADD_FAILURE() << "a package that is not there";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::config);
    EXPECT_THAT(e.what(), testing::HasSubstr("no package 'shipmoth'"));
  }
}

TEST_P(BothSandboxes, AnEarlyEndIsNoPass) {
  const std::vector<std::string> wrong{"assert False"};
  EXPECT_FALSE(passes_tests("import sys; sys.exit(0)", wrong));
  EXPECT_FALSE(passes_tests("import os; os._exit(0)", wrong));
  EXPECT_FALSE(passes_tests("raise SystemExit", wrong));
  EXPECT_FALSE(passes_tests("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", wrong));
  EXPECT_FALSE(
      passes_tests("import os\nfor fd in range(100):\n    try: os.write(fd, b'+' * 33)\n    except OSError: "
                   "pass\nos._exit(0)",
                   wrong));
  EXPECT_FALSE(passes_tests("print('+' + '0' * 32); exit(0)", wrong));
}

TEST_P(BothSandboxes, WhatAProgramPrintsOrReadsDoesNotMatter) {
  EXPECT_TRUE(passes_tests(
      "import sys\nfor i in range(300): print('x' * 100000); sys.stderr.write('y' * 100000)\nx = 1",
      {"assert x == 1"}));
  EXPECT_TRUE(runs("import sys\nassert sys.stdin.read() == ''"));
  EXPECT_FALSE(runs("input()"));
}

TEST_P(BothSandboxes, ThreadsLeftBehindDoNotHoldItUp) {
  EXPECT_LT(
      seconds([&] {
        EXPECT_TRUE(runs("import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()"));
      }),
      5);
}

TEST_P(BothSandboxes, LoopsAndSleepsEnd) {
  const SandboxLimits limits{.cpu_seconds = 1, .wall_seconds = 1.5};
  EXPECT_LT(seconds([&] { EXPECT_FALSE(runs("while True: pass", limits)); }), 5);
  EXPECT_LT(seconds([&] { EXPECT_FALSE(runs("import time; time.sleep(60)", limits)); }), 5);
  EXPECT_LT(seconds([&] { EXPECT_FALSE(runs("while True: pass", {.cpu_seconds = 1, .wall_seconds = 60})); }),
            10);
  EXPECT_LT(seconds([&] {
              EXPECT_FALSE(runs(
                  "import signal, time\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n"
                  "    except (OSError, ValueError): pass\nwhile True: pass",
                  limits));
            }),
            5);
}

TEST_P(BothSandboxes, NoProcesses) {
  EXPECT_TRUE(runs("import os\n" + denied("os.fork()")));
  EXPECT_TRUE(runs("import subprocess, sys\n" + denied("subprocess.run([sys.executable, '-c', ''])")));
  EXPECT_TRUE(runs("import os\n" + denied("os.posix_spawn('/usr/bin/python3', ['python3'], {})")));
}

TEST_P(BothSandboxes, NoNetwork) {
  EXPECT_TRUE(runs("import socket\n" + denied("socket.socket()")));
  EXPECT_TRUE(runs("import socket\n" + denied("socket.socket(socket.AF_UNIX)")));
  EXPECT_TRUE(runs("import socket\n" + denied("socket.create_connection(('127.0.0.1', 22), 1)")));
}

TEST_P(BothSandboxes, NoHostFiles) {
  const auto here = std::filesystem::absolute("CMakeLists.txt").string();
  ASSERT_TRUE(std::filesystem::exists(here));
  for (const auto& path : {here, std::string("/etc/passwd"), std::string("/proc/self/environ")}) {
    EXPECT_TRUE(runs(denied("open('" + path + "')"))) << path;
  }
  EXPECT_TRUE(runs("import os\nassert not os.listdir('.')"));
  EXPECT_TRUE(
      runs("import os\nassert set(os.environ) <= {'PATH', 'PYTHONHASHSEED', 'LD_LIBRARY_PATH', 'PWD', "
           "'LC_CTYPE', 'TMPDIR'}"));
  EXPECT_TRUE(runs(denied("open('/usr/lib/x', 'w')")));
  EXPECT_TRUE(runs(denied("open('/x', 'w')")));
}

TEST_P(BothSandboxes, OpenFilesOfThisProcessAreNotInherited) {
  const int low = open("CMakeLists.txt", O_RDONLY);
  const int fd = fcntl(low, F_DUPFD, 50);  // without O_CLOEXEC, as other libraries open theirs
  close(low);
  ASSERT_GE(fd, 50);
  EXPECT_TRUE(runs("import os\n" + denied("os.read(" + std::to_string(fd) + ", 1)")));
  close(fd);
}

TEST_P(BothSandboxes, MemoryAndFilesAreBounded) {
  EXPECT_TRUE(
      runs("try:\n    x = bytearray(1 << 30)\nexcept MemoryError:\n    pass\nelse:\n    raise SystemExit"));
  EXPECT_TRUE(runs("with open('x', 'w') as f: f.write('y' * 1000)\nassert len(open('x').read()) == 1000"));
  EXPECT_TRUE(runs(denied("open('x', 'wb', 0).write(b'y' * 1000001) == 1000001 or open('/nowhere')")));
  const std::string fill = "[open(str(i), 'wb', 0).write(b'y' * 900000) for i in range(10)]";
  EXPECT_FALSE(runs(fill));
  if (GetParam() == "landlock" && std::filesystem::is_directory("/dev/shm")) {  // names count as well
    const TemporaryFolder in_memory("/dev/shm");
    EXPECT_FALSE(runs("for i in range(5000): open(str(i), 'w')\nimport time; time.sleep(1)"));
  }
  if (GetParam() == "namespaces") {
    EXPECT_TRUE(runs(denied(fill)));
  }
  EXPECT_TRUE(
      runs("import resource\ntry:\n    resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))\nexcept "
           "(ValueError, OSError):\n    pass\nelse:\n    raise SystemExit"));
}

TEST_P(BothSandboxes, FilesOutsideStayAsTheyAre) {
  const HostFolder folder;
  const std::string file = folder.path() / "thesis.txt";
  std::ofstream(file) << "all my work";
  ASSERT_EQ(chmod(file.c_str(), 0640), 0);
  struct stat before {
  }, after{};
  stat(file.c_str(), &before);
  const std::string names = "import os\nfile, folder = '" + file + "', '" + folder.path().string() + "'\n";
  expect_all(
      sandbox(), names,
      each_denied(
          {"open(file)", "open(file, 'a')", "open(file, 'w')", "os.open(file, os.O_RDONLY | os.O_TRUNC)",
           "os.truncate(file, 0)", "os.unlink(file)", "os.rename(file, 'x')", "os.link(file, 'x')",
           "open('y', 'w'); os.rename('y', file)", "os.symlink(file, 'z'); open('z')", "os.listdir(folder)",
           "os.mkdir(folder + '/x')", "open(folder + '/x', 'w')", "os.symlink('x', folder + '/x')",
           "os.rmdir(folder)", "os.mkfifo(folder + '/x')", "os.setxattr(file, 'user.x', b'')",
           "os.chdir(folder); open('thesis.txt')", "os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL)"}));
  for (const std::string attempt :
       {"os.chmod(file, 0o777)", "os.chown(file, 1, 1)", "os.utime(file, (0, 0))", "os.chmod(folder, 0)"}) {
    runs(names + attempt);
  }
  stat(file.c_str(), &after);
  EXPECT_EQ(after.st_mode, before.st_mode);
  EXPECT_EQ(after.st_uid, before.st_uid);
  EXPECT_EQ(after.st_mtime, before.st_mtime);
  std::string text;
  std::getline(std::ifstream(file), text);
  EXPECT_EQ(text, "all my work");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST_P(BothSandboxes, RootHasNoPrivileges) {
  EXPECT_TRUE(runs("import os\nos.umask(0o777)\nopen('x', 'w').close()\n" + denied("open('x')")));
}

TEST_P(BothSandboxes, ReadingNeverCutsAFile) {
  EXPECT_TRUE(runs("import os\nopen('x', 'w').write('abc')\n" +
                   denied("os.open('x', os.O_RDONLY | os.O_TRUNC)") + "assert open('x').read() == 'abc'"));
}

TEST_P(BothSandboxes, OtherProcessesAreOutOfReach) {
  const std::string pids =
      "import fcntl, os, resource, signal\npids = os.getppid(), " + std::to_string(getpid()) + "\n";
  expect_all(sandbox(), pids,
             each_denied(
                 {"os.kill(pids[0], 0)", "os.kill(pids[1], 0)", "os.killpg(pids[1], 0)",
                  "signal.pidfd_send_signal(os.pidfd_open(pids[1]), 0)",
                  "resource.prlimit(pids[1], resource.RLIMIT_NOFILE, (9, 9))",
                  "resource.prlimit(pids[0], resource.RLIMIT_NOFILE)",
                  "os.setpriority(os.PRIO_PROCESS, pids[1], 19)", "os.sched_setaffinity(pids[1], {0})",
                  "os.sched_setaffinity(pids[0], {0})", "os.listdir('/proc')",
                  "open(f'/proc/{pids[1]}/mem', 'rb')", "open(f'/proc/{pids[1]}/environ', 'rb')",
                  "fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, pids[1])", "fcntl.fcntl(os.pipe()[0], 10, 9)"}));
}

TEST_P(BothSandboxes, NoWayToSocketsOfOthers) {
  const HostFolder folder;
  const std::string path = folder.path() / "socket";
  const int server = socket(AF_UNIX, SOCK_DGRAM, 0);
  sockaddr_un address{.sun_family = AF_UNIX};
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(server, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const std::string there = "import socket\npath = '" + path + "'\n";
  expect_all(sandbox(), there,
             each_denied({"socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', path)",
                          "socket.socketpair()[0].connect(path)", "socket.socketpair()[0].sendto(b'x', path)",
                          "socket.socketpair()[0].sendmsg([b'x'], [], 0, path)",
                          "socket.socketpair()[0].bind('here')", "socket.socketpair()[0].listen()"}));
  char byte;
  EXPECT_LT(recv(server, &byte, 1, MSG_DONTWAIT), 0);
  close(server);
}

/// Calls that would succeed, or fail for another reason, where the filter let them pass.
TEST_P(BothSandboxes, SystemCallsThatAProgramDoesNotNeedAreClosed) {
  std::vector<std::string> attempts;
  for (const std::string call : {"ptrace(0, 0, 0, 0)",
                                 "unshare(0)",
                                 "setns(0, 0)",
                                 "mount(None, None, None, 0, None)",
                                 "chroot(b'/')",
                                 "shmget(0, 4096, 0o1600)",
                                 "msgget(0, 0o1600)",
                                 "semget(0, 1, 0o1600)",
                                 "personality(0xffffffff)",
                                 "inotify_init()",
                                 "fanotify_init(0, 0)",
                                 "process_vm_readv(0, None, 0, None, 0, 0)",
                                 "setsid()",
                                 "prctl(4, 1)",
                                 "ioctl(0, 0x5412, b'x')",
                                 "mknod(b'x', 0o100600, 0)",
                                 "sethostname(b'x', 1)",
                                 "setuid(0)",
                                 "syscall(425, 1, None)",
                                 "syscall(435, None, 0)",
                                 "syscall(437, 0, None, None, 0)",
                                 "syscall(424, 0, 0, 0, 0)",
                                 "syscall(438, 0, 0, 0)",
                                 "syscall(440, 0, None, 0, 0, 0)"}) {
    attempts.push_back("assert c." + call + " == -1 and ctypes.get_errno() == errno.ENOSYS\n");
  }
  expect_all(sandbox(), "import ctypes, errno\nc = ctypes.CDLL(None, use_errno=True)\n", attempts);
}

TEST_P(BothSandboxes, ThreadsAreBounded) {
  if (GetParam() == "namespaces") GTEST_SKIP() << "there memory alone limits threads";
  const auto start = [](int threads) {
    return fmt::format(
        "import threading, time\nthreading.stack_size(32768)\nend = threading.Event()\n"
        "for i in range({}): threading.Thread(target=end.wait).start()\ntime.sleep(1)\nend.set()",
        threads);
  };
  EXPECT_TRUE(runs(start(400))) << "memory suffices";
  EXPECT_FALSE(runs(start(600)));
}

TEST_P(BothSandboxes, NothingIsLeftBehind) {
  const HostFolder folder;
  const TemporaryFolder here(folder.path());
  runs(
      "import os\nos.makedirs('a/b/c')\nopen('a/b/x', 'w').write('x')\nos.mkdir('d', 0o300)\nopen('d/x', "
      "'w')\n"
      "os.symlink('/etc', 'e')\nos.umask(0o777)\nos.mkdir('f')\nopen('g', 'w')");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST_P(BothSandboxes, ProgramsEndWithTheProcessThatRunsThem) {
  const auto sleepers = [] {  // of this test: by their command line, and once they have started their thread
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      char line[16384];  // not by a stream: that throws where the process ends meanwhile
      const int file = open((entry.path() / "cmdline").c_str(), O_RDONLY);
      const ssize_t n = file < 0 ? 0 : read(file, line, sizeof line);
      close(file);
      const std::string_view text(line, n > 0 ? static_cast<std::size_t>(n) : 0);
      struct stat threads {};
      count += text.find("AS=412345678") != std::string::npos &&
               stat((entry.path() / "task").c_str(), &threads) == 0 && threads.st_nlink == 2 + 2;
    }
    return count;
  };
  ASSERT_EQ(sleepers(), 0u);
  const HostFolder folder;
  const pid_t runner = fork();
  if (runner == 0) {
    const TemporaryFolder here(folder.path());
    runs("import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\ntime.sleep(60)",
         {.wall_seconds = 60, .memory_bytes = 412345678});
    _exit(0);
  }
  for (int i = 0; i < 200 && sleepers() == 0; ++i) usleep(50'000);
  EXPECT_GT(sleepers(), 0u);
  kill(runner, SIGKILL);
  waitpid(runner, nullptr, 0);
  for (int i = 0; i < 200 && sleepers() != 0; ++i) usleep(50'000);
  EXPECT_EQ(sleepers(), 0u);
}

/// What plain Python says of them; both sandboxes must say the same.
TEST_P(BothSandboxes, OrdinaryProgramsPass) {
  for (const std::string program :
       {"import tempfile\nwith tempfile.NamedTemporaryFile('w+') as f: f.write('x'); f.flush()\n"
        "with tempfile.TemporaryDirectory() as d: open(d + '/x', 'w').write('x')",
        "import asyncio\nasync def f(x): await asyncio.sleep(0.01); return x\n"
        "async def g(): return await asyncio.gather(f(1), f(2))\nassert asyncio.run(g()) == [1, 2]",
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as e: assert list(e.map(abs, [-1, -2])) == [1, 2]",
        "import signal, time\ndef stop(*_): raise TimeoutError\nsignal.signal(signal.SIGALRM, stop)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.05)\ntry: time.sleep(5)\nexcept TimeoutError: pass\nelse: "
        "raise OSError",
        "import os, shutil\nopen('a', 'w').write('x'); shutil.copy2('a', 'b'); os.makedirs('c/d')\n"
        "shutil.move('a', 'c/d/e'); assert open('c/d/e').read() == 'x'; shutil.rmtree('c')",
        "import sqlite3\nc = sqlite3.connect('db'); c.execute('create table t (x)'); c.commit()",
        "import gzip, mimetypes, time, uuid\nwith gzip.open('x', 'wt') as f: f.write('x')\nuuid.uuid1()\n"
        "assert mimetypes.guess_type('x.html')[0] == 'text/html' and time.localtime(0).tm_year == 1970",
        "import mmap, os, select\nr, w = os.pipe(); os.write(w, b'x'); assert select.select([r], [], [], "
        "0)[0]\n"
        "mmap.mmap(-1, 4096)[:1] = b'x'; os.cpu_count(); os.uname(); os.urandom(4)",
        "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(1, 1)\n"
        "load = unittest.defaultTestLoader.loadTestsFromTestCase\n"
        "assert unittest.TextTestRunner().run(load(T)).wasSuccessful()"}) {
    const HostFolder folder;
    const auto plain =
        run_child({.command = {"/bin/sh", "-c", "cd \"$TMPDIR\" && exec python3 -c \"$0\"", program},
                   .environment = {"PATH=/usr/bin:/bin", "TMPDIR=" + folder.path().string()}});
    EXPECT_EQ(plain.status, 0) << program << plain.error;
    EXPECT_TRUE(runs(program)) << program;
  }
}

TEST_P(BothSandboxes, TheVerdictIsTheSameEachTime) {
  const std::string program = "order = list({'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'})";
  const std::string test = "assert order[0] < order[1]";
  const bool first = passes_tests(program, {test});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(passes_tests(program, {test}), first);
}

TEST_P(BothSandboxes, ManyProgramsKeepTheirPlaces) {
  std::vector<ProgramWithTests> jobs;
  for (int i = 0; i < 60; ++i) {
    jobs.push_back({"x = " + std::to_string(i % 20), {"assert x % 3 == 0"}});
  }
  const auto passed = sandbox().pass_tests(jobs);
  ASSERT_EQ(passed.size(), jobs.size());
  for (int i = 0; i < 60; ++i) EXPECT_EQ(passed[i], i % 20 % 3 == 0) << i;
  EXPECT_TRUE(sandbox().pass_tests({}).empty());
}

TEST_P(BothSandboxes, ZeroBytesAreNoSource) {
  EXPECT_FALSE(runs(std::string("x = 1\0y = 2", 11)));
  EXPECT_FALSE(passes_tests("x = 1", {std::string("assert x == 1\0", 14)}));
}

TEST(ChildProcess, ReportsHowTheChildEnded) {
  const auto run = [](const std::string& script) {
    return run_child({.command = {"/bin/sh", "-c", script}});
  };
  EXPECT_EQ(run("exit 3").status, 3);
  EXPECT_EQ(run("kill -9 $$").status, 137);
  EXPECT_EQ(run("echo out; echo err >&2").output, "out\n");
  EXPECT_EQ(run("echo out; echo err >&2").error, "err\n");
  EXPECT_EQ(run_child({.command = {"/bin/cat"}, .input = std::string(10000, 'x')}).output,
            std::string(10000, 'x'));
}

TEST(ChildProcess, LimitsKillTheWholeGroup) {
  const auto start = steady_clock::now();
  const ChildProcess sleeping{.command = {"/bin/sh", "-c", "echo x; sleep 60 & sleep 60"},
                              .wall_seconds = 0.2};
  EXPECT_EQ(run_child(sleeping).status, 137);
  const ChildProcess silent{.command = {"/bin/sh", "-c", "sleep 60"}, .start_seconds = 0.2};
  EXPECT_EQ(run_child(silent).status, 137);
  const ChildProcess loud{.command = {"/bin/sh", "-c", "while :; do echo x; done"}, .output_bytes = 1000};
  EXPECT_EQ(run_child(loud).status, 137);
  EXPECT_LT(duration<double>(steady_clock::now() - start).count(), 5);
}

TEST(ChildProcess, NothingOfTheGroupLivesOn) {
  const auto trace = std::filesystem::temp_directory_path() / ("rocket-child-" + std::to_string(getpid()));
  const std::string background = "(sleep 0.6; touch " + trace.string() + ") & echo x; sleep 60";
  run_child({.command = {"/bin/sh", "-c", background}, .wall_seconds = 0.2});
  usleep(900'000);
  EXPECT_FALSE(std::filesystem::exists(trace));
  std::filesystem::remove(trace);
}

TEST(ChildProcess, AProgramThatIsNotThereIsAConfigError) {
  try {
    run_child({.command = {"/nowhere/bwrap"}});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::config);
    EXPECT_THAT(e.what(), testing::HasSubstr("/nowhere/bwrap"));
  }
}

}  // namespace
}  // namespace rocket
