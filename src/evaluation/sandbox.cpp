#include "evaluation/sandbox.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "evaluation/isolation.h"

namespace rocket {
namespace {

std::string random_marker() {
  std::random_device device;
  std::string marker;
  for (int i = 0; i < 4; ++i) marker += fmt::format("{:08x}", device());
  return marker;
}

std::string key_of(const ProgramWithTests& job) {
  Hasher hasher;
  hasher.add(job.program);
  for (const auto& test : job.tests) hasher.add(test);
  return hasher.hex();
}

/// Calls f(0..n-1) from as many threads as the process may use processors; the first exception is thrown
/// here.
template <class F>
void for_all_at_once(std::size_t n, const F& f) {
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&] {
    for (std::size_t i = next++; i < n; i = next++) {
      try {
        f(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        next = n;
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    const auto most = std::max<std::size_t>(1, std::thread::hardware_concurrency());
    for (std::size_t t = 0; t < std::min(most, n); ++t) threads.emplace_back(work);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

Sandbox::Sandbox(std::unique_ptr<Isolation> isolation, const std::vector<std::string>& packages)
    : isolation_(std::move(isolation)),
      interpreter_(std::make_shared<Interpreter>(find_interpreter(packages))),
      description_(isolation_->name()) {
  if (!run({"import math, re, collections\nx = 1", {"assert x == 1"}}, {}))
    fail_config("a trial program fails in the sandbox of {}", description_);
  for (const std::string& module : interpreter_->modules) {
    const std::string name = module.substr(0, module.find('='));
    if (std::ranges::count(packages, name) > 0 && !run({fmt::format("import {}", name), {}}, {}))
      fail_config("task.packages: '{}' cannot be imported in the sandbox of {}", name, description_);
  }
}

const std::string& Sandbox::offers() const {
  return interpreter_->offers;
}

Sandbox Sandbox::with_namespaces(const std::vector<std::string>& packages) {
  return Sandbox(namespaces(), packages);
}

Sandbox Sandbox::with_landlock(const std::vector<std::string>& packages) {
  return Sandbox(landlock(), packages);
}

const Sandbox& Sandbox::usable(const std::vector<std::string>& packages) {
  static std::map<std::vector<std::string>, Sandbox> known;
  const auto found = known.find(packages);
  if (found != known.end()) return found->second;
  Sandbox sandbox = [&] {
    find_interpreter(packages);  // what both need
    std::string without_namespaces;
    try {
      return with_namespaces(packages);
    } catch (const Error& e) {
      without_namespaces = e.what();
    }
    try {
      Sandbox made = with_landlock(packages);
      made.description_ += fmt::format(" (no namespaces: {})", without_namespaces);
      return made;
    } catch (const Error& e) {
      fail_config(
          "code tasks run Python programs in a sandbox, and neither of the two works here. 1. {}. 2. {}. Ask "
          "the "
          "administrator for bubblewrap with user namespaces (sysctl user.max_user_namespaces > 0, "
          "kernel.unprivileged_userns_clone = 1 where it exists) or installed setuid root, or for a kernel "
          "with "
          "Landlock. Model programs are not run without isolation",
          without_namespaces, e.what());
    }
  }();
  return known.emplace(packages, std::move(sandbox)).first->second;
}

bool Sandbox::run(const ProgramWithTests& job, const SandboxLimits& limits) const {
  const std::string marker = random_marker();
  std::string input = marker + '\0' + job.program;
  for (const auto& test : job.tests) input += '\0' + test;
  const auto parts = static_cast<std::size_t>(std::count(input.begin(), input.end(), '\0'));
  if (parts != job.tests.size() + 1) return false;  // Python source holds no zero byte
  const ChildResult result = isolation_->run(*interpreter_, input, marker.size() + 1, limits);
  if (result.output.empty()) {
    const std::size_t end = result.error.find_last_not_of(" \n.");
    fail_config("the sandbox of {} does not start (status {}): {}", isolation_->name(), result.status,
                end == std::string::npos ? "no message" : result.error.substr(0, end + 1));
  }
  return result.status == 0 && result.output == "+" + marker;
}

std::vector<bool> Sandbox::pass_tests(std::span<const ProgramWithTests> programs,
                                      const SandboxLimits& limits) const {
  std::unordered_map<std::string, std::size_t> places;
  std::vector<std::size_t> distinct, place_of;
  for (std::size_t i = 0; i < programs.size(); ++i) {
    const auto [found, is_new] = places.try_emplace(key_of(programs[i]), distinct.size());
    if (is_new) distinct.push_back(i);
    place_of.push_back(found->second);
  }
  std::vector<char> passed(distinct.size());  // not vector<bool>: written by several threads
  for_all_at_once(distinct.size(), [&](std::size_t d) { passed[d] = run(programs[distinct[d]], limits); });
  std::vector<bool> result;
  for (const std::size_t place : place_of) result.push_back(passed[place]);
  return result;
}

std::string described(const Sandbox& sandbox) {
  return fmt::format("{}, with {} (task.packages)", sandbox.description(), sandbox.offers());
}

bool Sandbox::passes_tests(const std::string& program, const std::vector<std::string>& tests,
                           const SandboxLimits& limits) const {
  const ProgramWithTests job{program, tests};
  return pass_tests({&job, 1}, limits)[0];
}

}  // namespace rocket
