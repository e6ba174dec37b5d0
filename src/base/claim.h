// One process at a time, on any file system that processes share: no flock, no links, no server.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace rocket {

/// What the file of a claim says of the process that made it.
struct Claimant {
  std::string name;         // what it claims
  std::string user, host;   // who, where
  std::string job;          // of the batch system; empty: none
  std::string since;        // UTC, ISO 8601
  std::string boot, space;  // the start of the kernel and the pid namespace in which `pid` means something
  std::int64_t pid = 0;
  std::uint64_t started = 0;  // of the process, in clock ticks since the start of the kernel
};

/// "user anna, pid 4711 on node7 (Slurm job 12), since 2026-01-31T12:00:00Z"
std::string describe(const Claimant& claimant);

struct ClaimLimits {
  std::chrono::milliseconds beat{15'000};      // how often a holder touches its file
  std::chrono::milliseconds silence{120'000};  // after which a process that cannot be asked counts as dead
};

/// The wish to work under a name in a folder, and then the right to. Each claim is a file of its own,
/// FOLDER/NAME.TOKEN. A claim holds once its file is there and no live claim on a conflicting name is seen
/// beside it; of several that wait, the one with the lowest token keeps its file in the folder. Files of the
/// dead are removed, whoever sees them: a token is never used again, so nobody removes a living one by it.
///
/// Dead is, on this host (same start of the kernel, same pid namespace), whose process is gone or another
/// one; elsewhere, whose file nobody has touched for `silence`, by the clock of the one who looks.
class Claim {
 public:
  /// `conflicts`: the names that nobody else may hold meanwhile; `name` itself is always one of them.
  Claim(std::filesystem::path folder, std::string name, std::set<std::string> conflicts,
        ClaimLimits limits = {});
  /// Gives it up, and removes the folder if no other claim is in it.
  ~Claim();
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;

  /// One attempt, which does not wait: nobody, and from then on the claim holds; else who is in the way.
  /// Throws storage (74) if no file can be written there.
  std::vector<Claimant> try_hold();

  /// True if the claim held and somebody has taken it for dead: this process was stopped or cut off for
  /// `silence`. A stop has then been requested (base/stop.h).
  bool lost() const;

 private:
  class Heart;
  struct Sign {
    std::filesystem::file_time_type touched;
    std::chrono::steady_clock::time_point seen;
  };

  int open_file();
  void make_file();
  void withdraw();
  bool is_dead(const std::filesystem::path& file, const Claimant& claimant);
  /// The live claims of others on conflicting names; whether one of them comes first, whether mine is there.
  struct View {
    std::vector<Claimant> others;
    bool first = true, mine = false;
  };
  View look();

  std::filesystem::path folder_, file_;
  std::string name_, token_;
  std::set<std::string> conflicts_;
  ClaimLimits limits_;
  bool there_ = false;
  std::map<std::string, Sign> signs_;  // by file name, of claims that cannot be asked
  std::unique_ptr<Heart> heart_;       // while it holds
};

/// How long to sleep between two attempts: short at first, at most a second.
class Patience {
 public:
  void sleep();

 private:
  std::chrono::milliseconds next_{5};
};

}  // namespace rocket
