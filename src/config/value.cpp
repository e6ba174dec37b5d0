#include "config/value.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/nearest.h"
#include "config/expand.h"

namespace rocket {
namespace {

enum class ScalarType { null, boolean, number, text, any };

struct Scalar {
  std::string text;
  ScalarType type = ScalarType::null;
};

// The types of YAML 1.2's core schema, as far as settings have them.
ScalarType plain_type(const std::string& text) {
  for (const char* word : {"true", "True", "TRUE", "false", "False", "FALSE"}) {
    if (text == word) return ScalarType::boolean;
  }
  const std::string digits = text.substr(text.find_first_of("+-") == 0 ? 1 : 0);
  for (const char* word : {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"}) {
    if (digits == word) return ScalarType::number;
  }
  if (digits.empty() || (digits[0] != '.' && (digits[0] < '0' || digits[0] > '9'))) return ScalarType::text;
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error != std::errc::invalid_argument && end == digits.data() + digits.size() ? ScalarType::number
                                                                                      : ScalarType::text;
}

const char* type_name(ScalarType type) {
  switch (type) {
    case ScalarType::boolean:
      return "the boolean";
    case ScalarType::number:
      return "the number";
    default:
      return "the text";
  }
}

// Reads the value of one setting; problems carry its key.
class Reader {
 public:
  Reader(const Setting& setting, std::string where, const Source& source, Problems& problems)
      : setting_(setting), where_(std::move(where)), source_(source), problems_(problems) {}

  bool read(const YAML::Node& node, std::string& out) {
    if (setting_.rule.path && node.IsNull()) return clear(out);
    std::string text;
    if (!read_text(node, setting_.key, text)) return false;
    if (setting_.rule.path && text.empty()) return complain("must not be empty");
    if (!allowed(text)) return false;
    out = std::move(text);
    return true;
  }

  bool read(const YAML::Node& node, std::optional<std::string>& out) {
    if (node.IsNull()) return clear(out);
    std::string text;
    if (!read_text(node, setting_.key, text)) return false;
    out = std::move(text);
    return true;
  }

  bool read(const YAML::Node& node, bool& out) {
    Scalar scalar;
    if (!read_scalar(node, setting_.key, "true or false", scalar)) return false;
    const ScalarType type = scalar.type == ScalarType::any ? plain_type(scalar.text) : scalar.type;
    if (type != ScalarType::boolean) return mistyped("true or false", scalar);
    out = scalar.text[0] == 't' || scalar.text[0] == 'T';
    return true;
  }

  bool read(const YAML::Node& node, std::int64_t& out) {
    std::int64_t value = 0;
    if (!read_integer(node, value)) return false;
    out = value;
    return true;
  }

  bool read(const YAML::Node& node, std::optional<std::int64_t>& out) {
    if (node.IsNull()) return clear(out);
    std::int64_t value = 0;
    if (!read_integer(node, value)) return false;
    out = value;
    return true;
  }

  bool read(const YAML::Node& node, std::uint64_t& out) {
    std::int64_t value = 0;
    if (!read_integer(node, value)) return false;
    out = static_cast<std::uint64_t>(value);
    return true;
  }

  bool read(const YAML::Node& node, double& out) {
    Scalar scalar;
    if (!read_scalar(node, setting_.key, "a number", scalar)) return false;
    if (scalar.type != ScalarType::number && scalar.type != ScalarType::any)
      return mistyped("a number", scalar);
    double value = 0;
    const std::string digits = scalar.text.substr(scalar.text.rfind('+', 0) == 0 ? 1 : 0);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error == std::errc::result_out_of_range) return out_of_range(scalar.text);
    if (error != std::errc() || end != digits.data() + digits.size() || !std::isfinite(value)) {
      return complain(fmt::format("expected a finite number, found '{}'", scalar.text));
    }
    if (!within(setting_.rule, value)) return out_of_range(scalar.text);
    out = value;
    return true;
  }

  bool read(const YAML::Node& node, ByteSize& out) {
    Scalar scalar;
    if (!read_scalar(node, setting_.key, "a size such as 4GiB", scalar)) return false;
    const std::optional<std::int64_t> bytes = parse_bytes(scalar.text);
    if (!bytes) return mistyped("a size such as 4GiB, 500MB or a number of bytes", scalar);
    if (!within(setting_.rule, static_cast<double>(*bytes))) return out_of_range(scalar.text);
    out.bytes = *bytes;
    return true;
  }

  bool read(const YAML::Node& node, std::vector<std::string>& out) {
    if (setting_.rule.path && node.IsNull()) return clear(out);
    std::vector<std::string> list;
    if (!read_list(node, list)) return false;
    out = std::move(list);
    return true;
  }

  bool read(const YAML::Node& node, std::vector<double>& out) {
    if (!node.IsSequence())
      return complain(fmt::format("expected a list such as [1.0e-4, 3.0e-4], found {}", found_text(node)));
    const std::string key_place = where_;
    std::vector<double> list;
    bool good = true;
    for (const YAML::Node& member : node) {
      if (member.IsScalar()) where_ = source_.at(member.Mark());
      double value = 0;
      if (!read(member, value)) {
        good = false;
      } else if (std::find(list.begin(), list.end(), value) != list.end()) {
        good = complain(fmt::format("{} stands in the list twice", value));
      } else {
        list.push_back(value);
      }
    }
    where_ = key_place;
    if (good) out = std::move(list);
    return good;
  }

  bool read(const YAML::Node& node, FieldMap& out) {
    if (!node.IsMap())
      return complain(fmt::format("expected a mapping {{ours: theirs}}, found {}", found_text(node)));
    FieldMap fields;
    bool good = for_each_text(node, [&](const std::string& name, const std::string& key,
                                        const std::string& where, std::string text) {
      const auto& known = record_fields();
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        problems_.add(where, key,
                      fmt::format("no field of a record; did you mean '{}'? Known: {}", nearest(name, known),
                                  fmt::join(known, ", ")));
        return false;
      }
      const bool may_be_none = name == "system" || name == "history";  // read wherever a file has them
      if (text.empty() && !may_be_none) problems_.add(where, key, "must not be empty");
      return fields.emplace(name, std::move(text)).second;
    });
    if (good) out = std::move(fields);
    return good;
  }

  bool read(const YAML::Node& node, OneOrList& out) {
    OneOrList source;
    if (node.IsSequence() ? !read_list(node, source.list) : !read(node, source.one)) return false;
    out = std::move(source);
    return true;
  }

  bool read(const YAML::Node& node, FewshotDraw& out) {
    const bool is_first = node.IsScalar() && node.Scalar() == "first";
    std::int64_t seed = 0;
    if (!is_first && !read_integer(node, seed, "first or a seed, a whole number")) return false;
    out.seed = is_first ? std::nullopt : std::optional(static_cast<std::uint64_t>(seed));
    return true;
  }

  bool read(const YAML::Node& node, FilterChoice& out) {
    if (node.IsNull()) return clear(out);
    if (!node.IsMap())
      return complain(fmt::format("expected a mapping {{pattern, group, take}}, found {}", found_text(node)));
    FilterChoice filter;
    if (!read_filter(node, filter)) return false;
    if (filter.pattern.empty()) return complain("must hold a pattern");
    out = std::move(filter);
    return true;
  }

  bool read(const YAML::Node& node, TemplateChoice& out) {
    TemplateChoice choice;
    choice.name.clear();
    if (node.IsMap() ? !read_forms(node, choice) : !read(node, choice.name)) return false;
    out = std::move(choice);
    return true;
  }

 private:
  bool complain(const std::string& what) {
    problems_.add(where_, setting_.key, what);
    return false;
  }

  template <class T>
  static bool clear(T& out) {
    out = T();
    return true;
  }

  bool mistyped(const std::string& expected, const Scalar& scalar) {
    return complain(fmt::format("expected {}, found {} '{}'", expected, type_name(scalar.type), scalar.text));
  }

  bool out_of_range(const std::string& text) {
    return complain(fmt::format("{} is out of range: {}", text, describe(setting_.rule)));
  }

  bool allowed(const std::string& text) {
    const auto& known = setting_.rule.allowed;
    if (known.empty() || std::find(known.begin(), known.end(), text) != known.end()) return true;
    return complain(fmt::format("unknown value '{}'; did you mean '{}'? One of: {}", text,
                                nearest(text, known), fmt::join(known, ", ")));
  }

  bool read_scalar(const YAML::Node& node, const std::string& key, const std::string& expected, Scalar& out) {
    if (!node.IsScalar()) {
      problems_.add(where_, key, fmt::format("expected {}, found {}", expected, found_text(node)));
      return false;
    }
    const std::string& tag = node.Tag();
    const bool quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    if (!quoted && tag != "?" && !tag.empty()) {
      problems_.add(where_, key, fmt::format("the YAML tag {} means nothing here", tag));
      return false;
    }
    Expansion expansion = expand_variables(node.Scalar());
    for (const std::string& problem : expansion.problems) problems_.add(where_, key, problem);
    if (!expansion.problems.empty()) return false;
    // What comes from the environment has no type of its own.
    out.type = expansion.expanded ? ScalarType::any : quoted ? ScalarType::text : plain_type(expansion.text);
    out.text = std::move(expansion.text);
    return true;
  }

  bool read_text(const YAML::Node& node, const std::string& key, std::string& out) {
    Scalar scalar;
    if (!read_scalar(node, key, "text", scalar)) return false;
    if (scalar.type == ScalarType::boolean || scalar.type == ScalarType::number) {
      problems_.add(where_, key,
                    fmt::format("expected text, found {} {}; as text it is written \"{}\"",
                                type_name(scalar.type), scalar.text, scalar.text));
      return false;
    }
    out = std::move(scalar.text);
    return true;
  }

  bool read_integer(const YAML::Node& node, std::int64_t& out,
                    const std::string& expected = "a whole number") {
    Scalar scalar;
    if (!read_scalar(node, setting_.key, expected, scalar)) return false;
    if (scalar.type != ScalarType::number && scalar.type != ScalarType::any) {
      return mistyped(expected, scalar);
    }
    std::int64_t value = 0;
    const std::string digits = scalar.text.substr(scalar.text.rfind('+', 0) == 0 ? 1 : 0);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error == std::errc::result_out_of_range) return out_of_range(scalar.text);
    if (error != std::errc() || end != digits.data() + digits.size()) return mistyped(expected, scalar);
    if (!within(setting_.rule, static_cast<double>(value))) return out_of_range(scalar.text);
    out = value;
    return true;
  }

  bool read_list(const YAML::Node& node, std::vector<std::string>& out) {
    if (!node.IsSequence()) {
      return complain(fmt::format("expected a list such as [a, b], found {}", found_text(node)));
    }
    const std::string key_place = where_;
    bool good = true;
    for (std::size_t i = 0; i < node.size(); ++i) {
      if (node[i].IsScalar()) where_ = source_.at(node[i].Mark());
      std::string text;
      if (!read_text(node[i], fmt::format("{}[{}]", setting_.key, i), text)) {
        good = false;
      } else if (text.empty()) {
        good = complain("a member of the list is empty");
      } else if (std::find(out.begin(), out.end(), text) != out.end()) {
        good = complain(fmt::format("'{}' stands in the list twice", text));
      } else if (allowed(text)) {
        out.push_back(std::move(text));
      } else {
        good = false;
      }
    }
    where_ = key_place;
    return good;
  }

  // Calls use(name, key, where, text) for the pairs of a mapping to text.
  template <class Use>
  bool for_each_text(const YAML::Node& node, const Use& use) {
    const std::size_t before = problems_.size();
    const std::string key_place = where_;
    for_each_key(node, source_, setting_.key, problems_,
                 [&](const std::string& key, const YAML::Node& value, const std::string& where) {
                   where_ = where;
                   std::string text;
                   if (read_text(value, key, text))
                     use(key.substr(setting_.key.size() + 1), key, where, text);
                 });
    where_ = key_place;
    return problems_.size() == before;
  }

  bool read_filter(const YAML::Node& node, FilterChoice& filter) {
    const std::size_t before = problems_.size();
    for_each_key(node, source_, setting_.key, problems_,
                 [&](const std::string& key, const YAML::Node& value, const std::string& where) {
                   read_filter_part(key, value, where, filter);
                 });
    return problems_.size() == before;
  }

  /// A part is read as a setting of its own, so that messages name it.
  void read_filter_part(const std::string& key, const YAML::Node& value, const std::string& where,
                        FilterChoice& filter) {
    static const std::vector<std::string> names = {"pattern", "group", "take"};
    const std::string name = key.substr(setting_.key.size() + 1);
    const Setting part{key, nullptr, name == "take" ? Rule{.allowed = {"first", "last"}} : Rule{.min = 0},
                       ""};
    Reader reader(part, where, source_, problems_);
    if (name == "pattern")
      reader.read(value, filter.pattern);
    else if (name == "group")
      reader.read(value, filter.group);
    else if (name == "take")
      reader.read(value, filter.take);
    else
      problems_.add(where, key,
                    fmt::format("unknown key; did you mean '{}.{}'?", setting_.key, nearest(name, names)));
  }

  bool read_forms(const YAML::Node& node, TemplateChoice& choice) {
    bool good = for_each_text(node, [&](const std::string& name, const std::string& key,
                                        const std::string& where, const std::string& text) {
      if (name == "with_input") {
        choice.with_input = text;
      } else if (name == "without_input") {
        choice.without_input = text;
      } else {
        const std::string guess = nearest(name, {"with_input", "without_input"});
        problems_.add(where, key, fmt::format("unknown key; did you mean '{}.{}'?", setting_.key, guess));
      }
      return true;
    });
    const auto require = [&](const char* form, const std::string& text, const char* placeholder) {
      if (text.find(placeholder) != std::string::npos) return;
      good = false;
      problems_.add(where_, fmt::format("{}.{}", setting_.key, form),
                    fmt::format("must hold {}", placeholder));
    };
    if (!good) return false;
    require("with_input", choice.with_input, "{instruction}");
    require("with_input", choice.with_input, "{input}");
    require("without_input", choice.without_input, "{instruction}");
    return good;
  }

  const Setting& setting_;
  std::string where_;
  const Source& source_;
  Problems& problems_;
};

struct Unit {
  const char* name;
  double bytes;
};

// Largest exact unit first, so that format_bytes finds the shortest form.
constexpr Unit units[] = {{"TiB", 0x1p40}, {"TB", 1e12},    {"GiB", 0x1p30}, {"GB", 1e9}, {"MiB", 0x1p20},
                          {"MB", 1e6},     {"KiB", 0x1p10}, {"KB", 1e3},     {"B", 1}};

}  // namespace

void read_setting(const Setting& setting, const YAML::Node& node, const std::string& where,
                  const Source& source, RunConfig& config, Problems& problems) {
  Reader reader(setting, where, source, problems);
  if (std::visit([&](auto* value) { return reader.read(node, *value); }, setting.slot(config))) {
    config.locations[setting.key] = where;
  }
}

std::optional<std::int64_t> parse_bytes(const std::string& text) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc() || text[0] == '-' || !std::isfinite(number)) return std::nullopt;
  std::string unit(end, text.data() + text.size());
  unit.erase(0, unit.find_first_not_of(' '));
  if (unit.empty()) unit = "B";
  for (const Unit& known : units) {
    const double bytes = number * known.bytes;
    if (unit == known.name)
      return bytes < 0x1p63 ? std::optional(static_cast<std::int64_t>(bytes)) : std::nullopt;
  }
  return std::nullopt;
}

std::string format_bytes(std::int64_t bytes) {
  for (const Unit& unit : units) {
    const auto size = static_cast<std::int64_t>(unit.bytes);
    if (bytes >= size && bytes % size == 0) return fmt::format("{}{}", bytes / size, unit.name);
  }
  return "0B";
}

}  // namespace rocket
