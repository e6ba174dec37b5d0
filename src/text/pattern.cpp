#include "text/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cstdint>

#include "base/error.h"

namespace rocket {

namespace {

constexpr std::uint32_t kMatchLimit = 1'000'000'000;  // a stray pattern ends in an error, not in a hang
constexpr std::uint32_t kHeapLimit = 1 << 20;         // KiB
constexpr std::size_t kJitStackStart = 32 << 10, kJitStackMax = 1 << 20;

/// Scratch space of one thread: PCRE2's match blocks must not be shared between threads.
struct Scratch {
  pcre2_match_data* data = pcre2_match_data_create(64, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(kJitStackStart, kJitStackMax, nullptr);

  Scratch() {
    if (!data || !context || !stack) fail_internal("PCRE2: out of memory");
    pcre2_set_match_limit(context, kMatchLimit);
    pcre2_set_heap_limit(context, kHeapLimit);
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~Scratch() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
};

std::string message_of(int error) {
  PCRE2_UCHAR buffer[256];
  if (pcre2_get_error_message(error, buffer, sizeof buffer) < 0) return "unknown error";
  return reinterpret_cast<const char*>(buffer);
}

}  // namespace

struct Pattern::Code {
  pcre2_code* code = nullptr;
  ~Code() { pcre2_code_free(code); }
};

Pattern::Pattern(const std::string& pattern, Classes classes)
    : source_(pattern), code_(std::make_unique<Code>()) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  const std::uint32_t options = PCRE2_UTF | (classes == Classes::unicode ? PCRE2_UCP : 0);
  code_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), options, &error,
                              &offset, nullptr);
  if (!code_->code) fail_data("pattern `{}`: {} at byte {}", pattern, message_of(error), offset);
  // Where there is no JIT, matching is slower but the same.
  pcre2_jit_compile(code_->code, PCRE2_JIT_COMPLETE);
}

Pattern::~Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;

std::size_t Pattern::groups() const {
  std::uint32_t count = 0;
  pcre2_pattern_info(code_->code, PCRE2_INFO_CAPTURECOUNT, &count);
  return count;
}

std::optional<Match> Pattern::find(std::string_view text, std::size_t from, std::size_t group) const {
  thread_local Scratch scratch;
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data() ? text.data() : "");
  // Checking the whole text again at every call would make a walk over it quadratic.
  int n =
      pcre2_match(code_->code, subject, text.size(), from, PCRE2_NO_UTF_CHECK, scratch.data, scratch.context);
  if (n == PCRE2_ERROR_JIT_STACKLIMIT)
    n = pcre2_match(code_->code, subject, text.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, scratch.data,
                    scratch.context);
  if (n == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (n < 0)
    fail_data("pattern `{}` on a text of {} bytes: {}; write it so that it backtracks less", source_,
              text.size(), message_of(n));
  if (n != 0 && group >= static_cast<std::size_t>(n)) return std::nullopt;
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(scratch.data);
  if (ends[2 * group] == PCRE2_UNSET) return std::nullopt;
  return Match{ends[2 * group], ends[2 * group + 1]};
}

}  // namespace rocket
