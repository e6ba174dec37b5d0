// Pickles read without running anything: a small stack machine that builds values and refuses the rest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rocket {

/// Containers point to values of the same Pickle; they may hold themselves.
struct PickleValue {
  enum class Kind { none, boolean, integer, real, text, tuple, list, dict, global, call, persistent };
  Kind kind = Kind::none;
  std::int64_t integer = 0;  // of a boolean too
  double real = 0;
  std::string text;  // valid UTF-8; of a global and a call its name: "torch FloatStorage"
  std::vector<const PickleValue*> items;  // of a dict key, value, key, value...; of a call its arguments; of
                                          // a persistent id the one thing that it wraps
};

/// "a text", "a tuple", "torch FloatStorage", ...
std::string name_of(const PickleValue& value);

class Pickle {
 public:
  /// `globals` may be named by the pickle; calling one yields a value of kind `call` (and `collections
  /// OrderedDict` called without arguments an empty dict). Throws data (65) "<place>: ...": any other global,
  /// any opcode that pickles of tensors do not need, bytes that are cut short or make no sense.
  Pickle(std::span<const std::byte> bytes, std::span<const std::string_view> globals,
         const std::string& place);
  const PickleValue& root() const { return *root_; }

 private:
  std::deque<PickleValue> values_;
  const PickleValue* root_ = nullptr;
};

}  // namespace rocket
