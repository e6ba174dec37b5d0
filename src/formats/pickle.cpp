#include "formats/pickle.h"

#include <algorithm>
#include <bit>
#include <unordered_map>

#include "base/bytes.h"
#include "base/error.h"
#include "formats/json_reader.h"

namespace rocket {
namespace {

using Kind = PickleValue::Kind;

constexpr std::string_view kOrderedDict = "collections OrderedDict";
constexpr std::uint64_t kNewestProtocol = 5;

// The opcodes that are run, by Python's names (pickletools).
enum Op : unsigned char {
  kMark = '(',
  kStop = '.',
  kNone = 'N',
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kLong1 = 0x8a,
  kBinFloat = 'G',
  kBinUnicode = 'X',
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kEmptyTuple = ')',
  kTuple = 't',
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kEmptyList = ']',
  kAppend = 'a',
  kAppends = 'e',
  kEmptyDict = '}',
  kSetItem = 's',
  kSetItems = 'u',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kMemoize = 0x94,
  kGlobal = 'c',
  kStackGlobal = 0x93,
  kReduce = 'R',
  kBuild = 'b',
  kBinPersId = 'Q',
  kProto = 0x80,
  kFrame = 0x95
};

/// What is refused, and its names in the same order.
constexpr std::string_view kRefused =
    "\x69\x6f\x81\x92\x82\x83\x84\x50\x70\x67\x30\x31\x32\x49\x4c\x8b"
    "\x46\x53\x54\x55\x56\x42\x43\x8e\x96\x97\x98\x6c\x64\x8f\x90\x91";
constexpr std::string_view kRefusedNames =
    "INST OBJ NEWOBJ NEWOBJ_EX EXT1 EXT2 EXT4 PERSID PUT GET POP POP_MARK DUP INT LONG LONG4 "
    "FLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 NEXT_BUFFER "
    "READONLY_BUFFER LIST DICT EMPTY_SET ADDITEMS FROZENSET";

std::string name_of_opcode(unsigned char code) {
  const std::size_t known = kRefused.find(static_cast<char>(code));
  if (known == std::string_view::npos) return fmt::format("0x{:02x}", code);
  std::string_view names = kRefusedNames;
  for (std::size_t i = 0; i < known; ++i) names.remove_prefix(names.find(' ') + 1);
  return fmt::format("{} (0x{:02x})", names.substr(0, names.find(' ')), code);
}

bool is_utf8(const std::string& text) {
  try {
    nlohmann::json(text).dump();
    return true;
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
}

class Machine {
 public:
  Machine(std::span<const std::byte> bytes, std::span<const std::string_view> globals,
          const std::string& place, std::deque<PickleValue>& values)
      : bytes_(bytes), globals_(globals), place_(place), values_(values) {}

  const PickleValue* run() {
    while (true) {
      start_ = at_;
      const auto code = static_cast<unsigned char>(number(1));
      if (code == kStop) break;
      if (!(scalar(code) || container(code) || memory(code) || object(code)))
        refuse("opcode {} is not needed for tensors and is not run", name_of_opcode(code));
    }
    if (stack_.size() != 1 || !marks_.empty())
      refuse("{} values are left where one was expected", stack_.size());
    return stack_.front();
  }

 private:
  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    fail_data("{}: byte {}: {}", place_, start_, fmt::format(format, std::forward<Args>(args)...));
  }

  std::span<const std::byte> take(std::uint64_t length) {
    if (length > bytes_.size() - at_) refuse("the pickle is cut short");
    const auto piece = bytes_.subspan(at_, length);
    at_ += length;
    return piece;
  }
  std::uint64_t number(std::uint64_t length) { return little_endian(take(length)); }
  /// Two's complement of up to 8 bytes.
  std::int64_t signed_number(std::uint64_t length) {
    if (length > 8) refuse("a whole number of {} bytes", length);
    if (length == 0) return 0;
    const auto shift = static_cast<int>(64 - 8 * length);
    return static_cast<std::int64_t>(number(length) << shift) >> shift;
  }
  std::string text(std::uint64_t length) {
    const auto piece = take(length);
    std::string value(reinterpret_cast<const char*>(piece.data()), piece.size());
    if (!is_utf8(value)) refuse("a text is no valid UTF-8");
    return value;
  }
  std::string line() {
    const auto rest = bytes_.subspan(at_);
    const auto end = std::find(rest.begin(), rest.end(), std::byte{'\n'});
    if (end == rest.end()) refuse("the pickle is cut short");
    std::string value = text(static_cast<std::uint64_t>(end - rest.begin()));
    ++at_;
    return value;
  }

  void push(PickleValue value) { stack_.push_back(&values_.emplace_back(std::move(value))); }
  /// The same, for the ends of cases.
  bool pushed(PickleValue value) {
    push(std::move(value));
    return true;
  }
  PickleValue* pop() {
    if (stack_.size() <= floor()) refuse("the stack is empty");
    PickleValue* top = stack_.back();
    stack_.pop_back();
    return top;
  }
  PickleValue& top(Kind kind, const char* wanted) {
    if (stack_.size() <= floor()) refuse("the stack is empty");
    if (stack_.back()->kind != kind) refuse("expected {}, got {}", wanted, name_of(*stack_.back()));
    return *stack_.back();
  }
  /// Nothing below the last mark is within reach.
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  std::vector<const PickleValue*> pop_to_mark() {
    if (marks_.empty()) refuse("there is no mark");
    std::vector<const PickleValue*> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()),
                                          stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }
  std::vector<const PickleValue*> pop_several(std::size_t count) {
    std::vector<const PickleValue*> items(count);
    for (std::size_t i = count; i-- > 0;) items[i] = pop();
    return items;
  }

  bool scalar(unsigned char code);
  bool container(unsigned char code);
  bool memory(unsigned char code);
  bool object(unsigned char code);
  void set_items(const std::vector<const PickleValue*>& items);
  void put(std::uint64_t key);
  void get(std::uint64_t key);
  void push_global(const std::string& name);
  void call();
  void build();

  std::span<const std::byte> bytes_;
  std::span<const std::string_view> globals_;
  const std::string& place_;
  std::deque<PickleValue>& values_;
  std::vector<PickleValue*> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, PickleValue*> memo_;
  std::uint64_t at_ = 0, start_ = 0;
};

bool Machine::scalar(unsigned char code) {
  switch (code) {
    case kProto:
      if (const std::uint64_t protocol = number(1); protocol > kNewestProtocol)
        refuse("protocol {} is not known (newest: {})", protocol, kNewestProtocol);
      return true;
    case kFrame:
      number(8);
      return true;
    case kNone:
      return pushed({Kind::none});
    case kNewTrue:
      return pushed({Kind::boolean, 1});
    case kNewFalse:
      return pushed({Kind::boolean, 0});
    case kBinInt:
      return pushed({Kind::integer, signed_number(4)});
    case kBinInt1:
      return pushed({Kind::integer, static_cast<std::int64_t>(number(1))});
    case kBinInt2:
      return pushed({Kind::integer, static_cast<std::int64_t>(number(2))});
    case kLong1:
      return pushed({Kind::integer, signed_number(number(1))});
    case kBinFloat:
      return pushed({Kind::real, 0, std::bit_cast<double>(__builtin_bswap64(number(8)))});
    case kBinUnicode:
      return pushed({Kind::text, 0, 0, text(number(4))});
    case kShortBinUnicode:
      return pushed({Kind::text, 0, 0, text(number(1))});
    case kBinUnicode8:
      return pushed({Kind::text, 0, 0, text(number(8))});
    default:
      return false;
  }
}

bool Machine::container(unsigned char code) {
  const auto push_tuple = [&](std::vector<const PickleValue*> items) {
    return pushed({Kind::tuple, 0, 0, {}, std::move(items)});
  };
  switch (code) {
    case kMark:
      marks_.push_back(stack_.size());
      return true;
    case kEmptyTuple:
      return push_tuple({});
    case kTuple:
      return push_tuple(pop_to_mark());
    case kTuple1:
      return push_tuple(pop_several(1));
    case kTuple2:
      return push_tuple(pop_several(2));
    case kTuple3:
      return push_tuple(pop_several(3));
    case kEmptyList:
      return pushed({Kind::list});
    case kEmptyDict:
      return pushed({Kind::dict});
    case kSetItem:
      set_items(pop_several(2));
      return true;
    case kSetItems:
      set_items(pop_to_mark());
      return true;
    case kAppend:
    case kAppends: {
      const auto items = code == kAppend ? pop_several(1) : pop_to_mark();
      PickleValue& list = top(Kind::list, "a list");
      list.items.insert(list.items.end(), items.begin(), items.end());
      return true;
    }
    default:
      return false;
  }
}

void Machine::set_items(const std::vector<const PickleValue*>& items) {
  if (items.size() % 2 != 0) refuse("a key without a value");
  PickleValue& dict = top(Kind::dict, "a dict");
  dict.items.insert(dict.items.end(), items.begin(), items.end());
}

bool Machine::memory(unsigned char code) {
  switch (code) {
    case kBinPut:
      put(number(1));
      return true;
    case kLongBinPut:
      put(number(4));
      return true;
    case kMemoize:
      put(memo_.size());
      return true;
    case kBinGet:
      get(number(1));
      return true;
    case kLongBinGet:
      get(number(4));
      return true;
    default:
      return false;
  }
}

void Machine::put(std::uint64_t key) {
  if (stack_.size() <= floor()) refuse("the stack is empty");
  memo_[key] = stack_.back();
}

void Machine::get(std::uint64_t key) {
  const auto found = memo_.find(key);
  if (found == memo_.end()) refuse("memo {} was never written", key);
  stack_.push_back(found->second);
}

bool Machine::object(unsigned char code) {
  switch (code) {
    case kGlobal: {
      const std::string module = line();
      push_global(module + " " + line());
      return true;
    }
    case kStackGlobal: {
      const auto names = pop_several(2);
      if (names[0]->kind != Kind::text || names[1]->kind != Kind::text)
        refuse("the name of a global is no text");
      push_global(names[0]->text + " " + names[1]->text);
      return true;
    }
    case kReduce:
      call();
      return true;
    case kBuild:
      build();
      return true;
    case kBinPersId: {
      const PickleValue* id = pop();
      push({Kind::persistent, 0, 0, {}, {id}});
      return true;
    }
    default:
      return false;
  }
}

void Machine::push_global(const std::string& name) {
  if (std::find(globals_.begin(), globals_.end(), name) == globals_.end() && name != kOrderedDict)
    refuse(
        "it names the Python object {}, which plain tensors do not need (sparse, quantised and float8 ones "
        "are "
        "not read); nothing was run",
        shown(nlohmann::json(name)));
  push({Kind::global, 0, 0, name});
}

void Machine::call() {
  const PickleValue* arguments = pop();
  const PickleValue* function = pop();
  if (function->kind != Kind::global || arguments->kind != Kind::tuple)
    refuse("expected a call of a global with a tuple, got {} and {}", name_of(*function),
           name_of(*arguments));
  if (function->text == kOrderedDict) {
    if (!arguments->items.empty()) refuse("an OrderedDict made from {} arguments", arguments->items.size());
    push({Kind::dict});
  } else {
    push({Kind::call, 0, 0, function->text, arguments->items});
  }
}

/// A state_dict is an OrderedDict with attributes (_metadata), which say nothing about its tensors.
void Machine::build() {
  if (pop()->kind != Kind::dict) refuse("expected the attributes of an OrderedDict");
  top(Kind::dict, "an OrderedDict");
}

}  // namespace

std::string name_of(const PickleValue& value) {
  static constexpr const char* kNames[] = {"None",     "a boolean", "a whole number", "a number",
                                           "a text",   "a tuple",   "a list",         "a dict",
                                           "a global", "a call",    "a persistent id"};
  const std::string name = kNames[static_cast<int>(value.kind)];
  return value.kind == Kind::global || value.kind == Kind::call ? fmt::format("{} ({})", name, value.text)
                                                                : name;
}

Pickle::Pickle(std::span<const std::byte> bytes, std::span<const std::string_view> globals,
               const std::string& place)
    : root_(Machine(bytes, globals, place, values_).run()) {
}

}  // namespace rocket
