#include <algorithm>
#include <cstdint>
#include <exception>
#include <new>
#include <utility>

#include "base/activity.h"
#include "base/error.h"
#include "comm/comm.h"

namespace rocket {
namespace {

// How a rank fared: "" if well, else one byte of exit code and the message.
std::string outcome_of(const std::function<void()>& local) {
  const auto failed = [](ExitCode code, std::string_view message) {
    return static_cast<char>(code) + std::string(message);
  };
  try {
    local();
    return "";
  } catch (const Error& e) {
    return failed(e.code(), e.what());
  } catch (const std::bad_alloc&) {
    return failed(ExitCode::internal, "out of memory");
  } catch (const std::exception& e) {
    // Other libraries append whole stack traces.
    const std::string_view what = e.what();
    return failed(ExitCode::internal, what.substr(0, what.find('\n')));
  } catch (...) {
    return failed(ExitCode::internal, "an exception of unknown type");
  }
}

}  // namespace

Comm::Waiting::Waiting(Comm& comm)
    : count_(std::this_thread::get_id() == comm.owner_ ? &comm.waiting_ : nullptr) {
  if (count_ != nullptr) ++*count_;
}

Comm::Waiting::~Waiting() {
  note_activity();
  if (count_ != nullptr) --*count_;
}

std::string broadcast_text(Comm& comm, const std::string& text, int root) {
  std::uint64_t length = text.size();
  comm.broadcast(std::as_writable_bytes(std::span(&length, 1)), root);
  std::string copy = text;
  copy.resize(length);
  comm.broadcast(std::as_writable_bytes(std::span(copy)), root);
  return copy;
}

bool any_rank(Comm& comm, bool mine) {
  float count = mine ? 1.0f : 0.0f;
  comm.sum(std::span(&count, 1));
  return count > 0;
}

void agree(Comm& comm, const std::function<void()>& local) {
  const std::vector<std::string> outcomes = comm.gather_all(outcome_of(local));
  const auto failed =
      std::find_if(outcomes.begin(), outcomes.end(), [](const auto& text) { return !text.empty(); });
  if (failed == outcomes.end()) {
    return;
  }
  const bool same =
      std::all_of(outcomes.begin(), outcomes.end(), [&](const auto& text) { return text == *failed; });
  const std::string message = failed->substr(1);
  throw Error(static_cast<ExitCode>(failed->front()),
              same ? message : fmt::format("rank {}: {}", failed - outcomes.begin(), message), true);
}

void on_root(Comm& comm, const std::function<void()>& local) {
  agree(comm, [&] {
    if (comm.is_root()) {
      local();
    }
  });
}

int leave(std::unique_ptr<Comm> comm, int code, bool agreed) {
  if (!agreed && comm->size() > 1) {
    comm->abort(code);
  }
  return code;
}

}  // namespace rocket
