#include "evaluation/sandbox.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

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

/// True iff the statements do their work; each says itself, by assert, whether it did.
bool runs(const std::string& program, const SandboxLimits& limits = {}) {
  return passes_tests(program, {}, limits);
}

std::string denied(const std::string& statements) {
  return "try:\n    " + statements +
         "\nexcept OSError:\n    pass\nelse:\n    raise SystemExit('was allowed')\n";
}

TEST(Sandbox, RunsTheTestsAfterTheProgram) {
  const std::string program = "def f(x): return (x + 3) * 2";
  EXPECT_TRUE(passes_tests(program, {"assert f(1) == 8", "assert f(0) == 6"}));
  EXPECT_FALSE(passes_tests(program, {"assert f(1) == 8", "assert f(0) == 7"}));
  EXPECT_FALSE(passes_tests("def f(x): return", {"assert f(1) == 8"}));
  EXPECT_FALSE(passes_tests("def f(x) return", {}));
  EXPECT_FALSE(passes_tests("", {"assert f(1) == 8"}));
  EXPECT_TRUE(passes_tests("x = 'Grüße \\u2028 日本'", {"assert len(x) == 10"}));
}

TEST(Sandbox, TheStandardLibraryIsThere) {
  EXPECT_TRUE(
      runs("import collections, dataclasses, decimal, functools, hashlib, heapq, itertools, json, math, re\n"
           "assert hashlib.sha256(b'').hexdigest().startswith('e3b0')"));
  EXPECT_TRUE(passes_tests("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: 'int' = 1",
                           {"assert P() == P(1)", "assert __name__ == '__main__'"}));
}

TEST(Sandbox, AnEarlyEndIsNoPass) {
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

TEST(Sandbox, WhatAProgramPrintsOrReadsDoesNotMatter) {
  EXPECT_TRUE(passes_tests(
      "import sys\nfor i in range(300): print('x' * 100000); sys.stderr.write('y' * 100000)\nx = 1",
      {"assert x == 1"}));
  EXPECT_TRUE(runs("import sys\nassert sys.stdin.read() == ''"));
  EXPECT_FALSE(runs("input()"));
}

TEST(Sandbox, ThreadsLeftBehindDoNotHoldItUp) {
  EXPECT_LT(
      seconds([] {
        EXPECT_TRUE(runs("import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()"));
      }),
      5);
}

TEST(Sandbox, LoopsAndSleepsEnd) {
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

TEST(Sandbox, NoProcesses) {
  EXPECT_TRUE(runs("import os\n" + denied("os.fork()")));
  EXPECT_TRUE(runs("import subprocess, sys\n" + denied("subprocess.run([sys.executable, '-c', ''])")));
  EXPECT_TRUE(runs("import os\n" + denied("os.posix_spawn('/usr/bin/python3', ['python3'], {})")));
}

TEST(Sandbox, NoNetwork) {
  EXPECT_TRUE(runs("import socket\n" + denied("socket.socket()")));
  EXPECT_TRUE(runs("import socket\n" + denied("socket.socket(socket.AF_UNIX)")));
  EXPECT_TRUE(runs("import socket\n" + denied("socket.create_connection(('127.0.0.1', 22), 1)")));
}

TEST(Sandbox, NoHostFiles) {
  const auto here = std::filesystem::absolute("CMakeLists.txt").string();
  ASSERT_TRUE(std::filesystem::exists(here));
  for (const auto& path : {here, std::string("/etc/passwd"), std::string("/proc/self/environ")}) {
    EXPECT_TRUE(runs(denied("open('" + path + "')"))) << path;
  }
  EXPECT_TRUE(runs("import os\nassert not os.listdir('/tmp')"));
  EXPECT_TRUE(
      runs("import os\nassert set(os.environ) <= {'PATH', 'PYTHONHASHSEED', 'LD_LIBRARY_PATH', 'PWD', "
           "'LC_CTYPE'}"));
  EXPECT_TRUE(runs(denied("open('/usr/lib/x', 'w')")));
  EXPECT_TRUE(runs(denied("open('/x', 'w')")));
}

TEST(Sandbox, OpenFilesOfThisProcessAreNotInherited) {
  const int low = open("CMakeLists.txt", O_RDONLY);
  const int fd = fcntl(low, F_DUPFD, 50);  // without O_CLOEXEC, as other libraries open theirs
  close(low);
  ASSERT_GE(fd, 50);
  EXPECT_TRUE(runs("import os\n" + denied("os.read(" + std::to_string(fd) + ", 1)")));
  close(fd);
}

TEST(Sandbox, MemoryAndFilesAreBounded) {
  EXPECT_TRUE(
      runs("try:\n    x = bytearray(1 << 30)\nexcept MemoryError:\n    pass\nelse:\n    raise SystemExit"));
  EXPECT_TRUE(
      runs("with open('/tmp/x', 'w') as f: f.write('y' * 1000)\nassert len(open('x').read()) == 1000"));
  EXPECT_TRUE(runs(denied("open('x', 'wb', 0).write(b'y' * 1000001) == 1000001 or open('/nowhere')")));
  EXPECT_TRUE(runs(denied("[open(str(i), 'wb', 0).write(b'y' * 900000) for i in range(10)]")));
  EXPECT_TRUE(
      runs("import resource\ntry:\n    resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))\nexcept "
           "(ValueError, OSError):\n    pass\nelse:\n    raise SystemExit"));
}

TEST(Sandbox, TheVerdictIsTheSameEachTime) {
  const std::string program = "order = list({'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'})";
  const std::string test = "assert order[0] < order[1]";
  const bool first = passes_tests(program, {test});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(passes_tests(program, {test}), first);
}

TEST(Sandbox, ManyProgramsKeepTheirPlaces) {
  std::vector<ProgramWithTests> jobs;
  for (int i = 0; i < 60; ++i) {
    jobs.push_back({"x = " + std::to_string(i % 20), {"assert x % 3 == 0"}});
  }
  const auto passed = pass_tests(jobs);
  ASSERT_EQ(passed.size(), jobs.size());
  for (int i = 0; i < 60; ++i) EXPECT_EQ(passed[i], i % 20 % 3 == 0) << i;
  EXPECT_TRUE(pass_tests({}).empty());
}

TEST(Sandbox, ZeroBytesAreNoSource) {
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
