// The table of settings: one line a key, from which loader, printer, defaults and messages are made.
#pragma once

#include <limits>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/run_config.h"

namespace rocket {

/// A setting's place in a RunConfig; the type decides which YAML values it takes.
using Slot =
    std::variant<std::string*, std::optional<std::string>*, bool*, std::uint64_t*, std::int64_t*,
                 std::optional<std::int64_t>*, double*, ByteSize*, std::vector<std::string>*,
                 std::vector<double>*, FieldMap*, OneOrList*, FewshotDraw*, FilterChoice*, TemplateChoice*>;

/// Which values a setting may have. Bounds are for numbers, `allowed` for text and the members of lists.
struct Rule {
  double min = -std::numeric_limits<double>::infinity(), max = std::numeric_limits<double>::infinity();
  bool above_min = false, below_max = false;  // the bound itself is excluded
  std::vector<std::string> allowed = {};
  bool path = false;  // has no default: null in the printed form until it is set
};

struct Setting {
  std::string key;
  Slot (*slot)(RunConfig&);
  Rule rule;
  std::string comment;

  /// "" for a key of the top level.
  std::string_view section() const;
  std::string_view name() const;
};

/// In the order of configs/defaults.yaml; the keys of a section stand together.
const std::vector<Setting>& settings();

/// nullptr if there is no such key.
const Setting* find_setting(std::string_view key);
bool is_section(std::string_view key);
/// The sections and the keys.
const std::vector<std::string>& known_keys();
/// Names that `task.fields` and `corpus.fields` translate.
const std::vector<std::string>& record_fields();

/// "1 or more", "above -1, at most 1", "one of: max, mean"; empty if every value of the type will do.
std::string describe(const Rule& rule);
bool within(const Rule& rule, double value);

}  // namespace rocket
