#include "base/claim.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/stop.h"

namespace rocket {
namespace {

using nlohmann::json;
using std::chrono::steady_clock;

std::string first_line(const char* path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

std::string link_target(const char* path) {
  std::error_code absent;
  return fs::read_symlink(path, absent).string();
}

std::string user_name() {
  const passwd* user = ::getpwuid(::geteuid());
  return user ? user->pw_name : std::to_string(::geteuid());
}

std::string host_name() {
  char host[256] = "";
  ::gethostname(host, sizeof(host) - 1);
  return host;
}

/// State and start of a process, from /proc/PID/stat; false if it cannot be read.
bool read_process(std::int64_t pid, char& state, std::uint64_t& started) {
  const std::string stat = first_line(fmt::format("/proc/{}/stat", pid).c_str());
  const std::size_t name_end = stat.rfind(')');  // the name may hold anything
  if (name_end == std::string::npos) return false;
  std::istringstream fields(stat.substr(name_end + 1));
  constexpr int kStartTime = 22, kState = 3;
  std::string skipped;
  fields >> state;
  for (int field = kState + 1; field < kStartTime; ++field) fields >> skipped;
  return static_cast<bool>(fields >> started);
}

/// Without name and time.
const Claimant& this_process() {
  static const Claimant process = [] {
    Claimant me;
    me.user = user_name();
    me.host = host_name();
    const char* job = std::getenv("SLURM_JOB_ID");
    me.job = job ? job : "";
    me.boot = first_line("/proc/sys/kernel/random/boot_id");
    me.space = link_target("/proc/self/ns/pid");
    me.pid = ::getpid();
    char state = 0;
    read_process(me.pid, state, me.started);
    return me;
  }();
  return process;
}

Claimant myself(const std::string& name) {
  Claimant me = this_process();
  me.name = name;
  me.since = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  return me;
}

std::string to_text(const Claimant& c) {
  return json{{"name", c.name},   {"user", c.user},   {"host", c.host},
              {"job", c.job},     {"since", c.since}, {"boot", c.boot},
              {"space", c.space}, {"pid", c.pid},     {"started", c.started}}
             .dump() +
         "\n";
}

/// A file that is being written, or whose writer died over it, tells nothing: a claimant without a pid.
Claimant read_claimant(const fs::path& file, const std::string& name) {
  Claimant c;
  c.name = name;
  c.user = c.host = "unknown";
  std::ifstream in(file);
  const json j = json::parse(in, nullptr, false);
  try {
    return {name,         j.at("user"),  j.at("host"), j.at("job"),    j.at("since"),
            j.at("boot"), j.at("space"), j.at("pid"),  j.at("started")};
  } catch (const json::exception&) {
    return c;
  }
}

enum class Life { lives, dead, unknown };

/// Whether the process of a claim lives, as far as this host can tell.
Life life_of(const Claimant& c) {
  const Claimant& me = this_process();
  if (c.pid <= 0 || c.boot.empty() || c.space.empty() || c.boot != me.boot || c.space != me.space)
    return Life::unknown;
  char state = 0;
  std::uint64_t started = 0;
  if (read_process(c.pid, state, started))
    return started == c.started && state != 'Z' && state != 'X' ? Life::lives : Life::dead;
  // Hidden (mount option hidepid) is not gone.
  return ::kill(static_cast<pid_t>(c.pid), 0) != 0 && errno == ESRCH ? Life::dead : Life::unknown;
}

std::string new_token() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

bool touch(const fs::path& file) {
  return ::utimensat(AT_FDCWD, file.c_str(), nullptr, 0) == 0;
}

}  // namespace

std::string describe(const Claimant& c) {
  return fmt::format("user {}, pid {} on {}{}, since {}", c.user, c.pid, c.host,
                     c.job.empty() ? "" : fmt::format(" (Slurm job {})", c.job),
                     c.since.empty() ? "an unknown time" : c.since);
}

/// Touches the file of a claim that holds, and notices when it is gone.
class Claim::Heart {
 public:
  Heart(const fs::path& file, std::chrono::milliseconds beat)
      : file_(file), beat_(beat), thread_([this] { run(); }) {}
  ~Heart() {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }
  /// Looks at the file itself: a process that was suspended may ask before its next beat.
  bool lost() {
    if (!lost_ && !touch(file_) && errno == ENOENT) {
      lost_ = true;
      request_stop();
    }
    return lost_;
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, beat_, [this] { return ends_; })) {
      if (lost()) return;
    }
  }

  const fs::path file_;
  const std::chrono::milliseconds beat_;
  std::atomic<bool> lost_ = false;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ends_ = false;
  std::thread thread_;  // the last member: it uses all others
};

Claim::Claim(fs::path folder, std::string name, std::set<std::string> conflicts, ClaimLimits limits)
    : folder_(std::move(folder)),
      name_(std::move(name)),
      token_(new_token()),
      conflicts_(std::move(conflicts)),
      limits_(limits) {
  file_ = folder_ / (name_ + "." + token_);
  conflicts_.insert(name_);
}

Claim::~Claim() {
  heart_.reset();
  withdraw();
  ::rmdir(folder_.c_str());  // refused while there are others in it
}

bool Claim::lost() const {
  return heart_ && heart_->lost();
}

/// The folder goes with the last claim, so it may be gone again before the file is there, and even while it
/// is made: `make_folders` would take that for a failure.
int Claim::open_file() {
  constexpr int kTries = 100;
  make_folders(folder_.parent_path());
  for (int left = kTries;; --left) {
    if (::mkdir(folder_.c_str(), 0777) != 0 && errno != EEXIST) return -1;
    const int file = ::open(file_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file >= 0 || errno != ENOENT || left == 0) return file;
  }
}

void Claim::make_file() {
  const std::string text = to_text(myself(name_));
  const int file = open_file();
  const bool written =
      file >= 0 && ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  if (file >= 0) ::close(file);
  if (!written) {
    ::unlink(file_.c_str());
    fail_storage("cannot write '{}': {}", file_.string(), std::strerror(error));
  }
  there_ = true;
}

void Claim::withdraw() {
  if (std::exchange(there_, false)) ::unlink(file_.c_str());
}

bool Claim::is_dead(const fs::path& file, const Claimant& claimant) {
  const Life life = life_of(claimant);
  if (life != Life::unknown) return life == Life::dead;
  std::error_code gone;
  const auto touched = fs::last_write_time(file, gone);
  if (gone) return true;
  const auto now = steady_clock::now();
  const auto [sign, is_new] = signs_.try_emplace(file.filename().string(), Sign{touched, now});
  if (!is_new && sign->second.touched != touched) sign->second = {touched, now};
  return now - sign->second.seen > limits_.silence;
}

Claim::View Claim::look() {
  View view;
  std::error_code absent;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, absent)) {
    const std::string file = entry.path().filename().string();
    const std::size_t dot = file.rfind('.');
    if (dot == std::string::npos) continue;
    const std::string name = file.substr(0, dot), token = file.substr(dot + 1);
    if (token == token_) view.mine = true;
    if (token == token_ || !conflicts_.contains(name)) continue;
    const Claimant other = read_claimant(entry.path(), name);
    if (is_dead(entry.path(), other)) {
      if (::unlink(entry.path().c_str()) == 0 && other.pid > 0)
        log::detail("the claim of {} is void: it has died", describe(other));
      continue;
    }
    view.others.push_back(other);
    view.first = view.first && token_ < token;
  }
  return view;
}

std::vector<Claimant> Claim::try_hold() {
  if (heart_) return {};
  if (there_) there_ = touch(file_);  // it may have been taken for dead while it waited
  if (!there_) {
    View before = look();
    if (!before.others.empty()) return std::move(before.others);
    make_file();
  }
  View view = look();
  if (view.others.empty() && view.mine) {
    heart_ = std::make_unique<Heart>(file_, limits_.beat);
    return {};
  }
  if (!view.mine) view.others.push_back(myself(name_));  // the folder's listing lags behind: look again
  if (!view.first) withdraw();
  return std::move(view.others);
}

void Patience::sleep() {
  constexpr std::chrono::milliseconds kMost{1000};
  std::this_thread::sleep_for(next_);
  next_ = std::min(kMost, next_ * 3 / 2 + std::chrono::milliseconds(1));
}

}  // namespace rocket
