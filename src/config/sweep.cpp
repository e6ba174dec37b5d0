#include "config/sweep.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/nearest.h"
#include "config/document.h"
#include "config/expand.h"
#include "config/settings.h"
#include "config/value.h"

namespace rocket {
namespace {

// More run directories than anyone looks at: a slip of the pen in a grid.
constexpr std::size_t most_points = 100'000;

struct GridAxis {
  std::string key;
  std::vector<std::string> values;
};

// A setting's value as part of a folder's name: [a, b] becomes a+b, other marks of YAML go.
std::string name_part(const std::string& value) {
  std::string part;
  for (const char c : value) {
    if (c == ',') {
      part += '+';
    } else if (std::isalnum(static_cast<unsigned char>(c)) ||
               std::string_view("._-+=").find(c) != std::string::npos) {
      part += c;
    } else if (std::string_view("[]{}\"' ").find(c) == std::string::npos) {
      part += '-';
    }
  }
  return part.empty() ? "none" : part;
}

std::string point_name(const SweepPoint& point, const std::vector<std::string>& varying) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : point.settings) {
    const bool varies = std::find(varying.begin(), varying.end(), key) != varying.end();
    if (varies || varying.empty()) parts.push_back(key + "=" + name_part(value));
  }
  std::string name = parts.empty() ? "base" : fmt::format("{}", fmt::join(parts, ","));
  // Folder names end at 255 bytes.
  if (name.size() > 200) name = name.substr(0, 180) + "-" + hash_text(name).substr(0, 12);
  return name;
}

bool fits_folder(const std::string& name) {
  return !name.empty() && name[0] != '.' && name.size() <= 255 &&
         std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return c > 32 && c != '/' && c != 127; });
}

class SweepLoader {
 public:
  explicit SweepLoader(const fs::path& file) : root_(parse_yaml_file(file)), source_{file.string()} {}

  Sweep load() {
    for_each_key(root_, source_, "", problems_,
                 [&](const std::string& key, const YAML::Node& value, const std::string& where) {
                   read(key, value, where);
                 });
    for (const char* key : {"config", "runs"}) {
      if (!root_[key]) problems_.add(source_.name + ":1", key, "not set");
    }
    problems_.throw_if_any();
    if (axes_.empty() == sweep_.points.empty()) {
      fail_config("{}: a sweep has either a grid or points, and {}", source_.name,
                  axes_.empty() ? "this one has neither" : "this one has both");
    }
    if (!axes_.empty()) multiply();
    find_varying();
    name_points();
    problems_.throw_if_any();
    return std::move(sweep_);
  }

 private:
  void read(const std::string& key, const YAML::Node& value, const std::string& where) {
    if (key == "config") {
      read_path(key, value, where, sweep_.config);
    } else if (key == "runs") {
      read_path(key, value, where, sweep_.runs);
    } else if (key == "job") {
      read_job(value, where);
    } else if (key == "grid") {
      read_grid(value, where);
    } else if (key == "points") {
      read_points(value, where);
    } else {
      const std::string guess = nearest(key, {"config", "job", "runs", "grid", "points"});
      problems_.add(where, key, fmt::format("unknown key; did you mean '{}'?", guess));
    }
  }

  void read_path(const std::string& key, const YAML::Node& value, const std::string& where,
                 std::string& out) {
    if (!value.IsScalar() || value.Scalar().empty()) {
      problems_.add(where, key, fmt::format("expected a path, found {}", found_text(value)));
      return;
    }
    Expansion expansion = expand_variables(value.Scalar());
    for (const std::string& problem : expansion.problems) problems_.add(where, key, problem);
    out = std::move(expansion.text);
  }

  void read_job(const YAML::Node& value, const std::string& where) {
    const std::string job = value.IsScalar() ? value.Scalar() : "";
    if (job != "run" && job != "train-adapter") {
      problems_.add(where, "job", fmt::format("expected run or train-adapter, found {}", found_text(value)));
      return;
    }
    sweep_.job = job;
  }

  void read_grid(const YAML::Node& grid, const std::string& where) {
    if (grid.IsNull()) return;
    if (!grid.IsMap()) {
      problems_.add(where, "grid",
                    fmt::format("expected a mapping of keys to lists, found {}", found_text(grid)));
      return;
    }
    for_each_key(grid, source_, "grid", problems_,
                 [&](const std::string& path, const YAML::Node& values, const std::string& key_where) {
                   read_axis(path, path.substr(5), values, key_where);
                 });
  }

  void read_axis(const std::string& path, const std::string& key, const YAML::Node& values,
                 const std::string& where) {
    if (!values.IsSequence() || values.size() == 0) {
      problems_.add(where, path,
                    fmt::format("expected a list of values, found {}",
                                values.IsSequence() ? "an empty one" : found_text(values)));
      return;
    }
    GridAxis axis{key, {}};
    for (const auto& value : values) {
      const std::string text = to_flow(value);
      check_setting(path, key, value, where);
      if (std::find(axis.values.begin(), axis.values.end(), text) != axis.values.end()) {
        problems_.add(where, path, fmt::format("{} stands in the list twice", text));
      }
      axis.values.push_back(text);
    }
    axes_.push_back(std::move(axis));
  }

  void read_points(const YAML::Node& points, const std::string& where) {
    if (points.IsNull()) return;
    if (!points.IsSequence()) {
      problems_.add(where, "points", fmt::format("expected a list of points, found {}", found_text(points)));
      return;
    }
    for (std::size_t i = 0; i < points.size(); ++i)
      read_point(points[i], fmt::format("points[{}]", i), where);
  }

  void read_point(const YAML::Node& node, const std::string& path, const std::string& where) {
    if (!node.IsMap()) {
      problems_.add(where, path,
                    fmt::format("expected {{name: ..., set: {{...}}}}, found {}", found_text(node)));
      return;
    }
    SweepPoint point;
    for_each_key(node, source_, path, problems_,
                 [&](const std::string& key, const YAML::Node& value, const std::string& key_where) {
                   read_point_key(path, key, value, key_where, point);
                 });
    sweep_.points.push_back(std::move(point));
  }

  void read_point_key(const std::string& path, const std::string& key, const YAML::Node& value,
                      const std::string& where, SweepPoint& point) {
    const std::string name = key.substr(path.size() + 1);
    if (name == "name") {
      if (!value.IsScalar() || !fits_folder(value.Scalar())) {
        problems_.add(where, key, fmt::format("expected the name of a folder, found {}", found_text(value)));
        return;
      }
      point.name = value.Scalar();
    } else if (name == "set" && value.IsMap()) {
      for_each_key(
          value, source_, key, problems_,
          [&](const std::string& setting_path, const YAML::Node& node, const std::string& setting_where) {
            const std::string setting = setting_path.substr(key.size() + 1);
            check_setting(setting_path, setting, node, setting_where);
            point.settings.emplace_back(setting, to_flow(node));
          });
    } else if (name == "set") {
      problems_.add(where, key,
                    fmt::format("expected a mapping of keys to values, found {}", found_text(value)));
    } else {
      problems_.add(where, key,
                    fmt::format("unknown key; did you mean '{}'?", nearest(name, {"name", "set"})));
    }
  }

  void check_setting(const std::string& path, const std::string& key, const YAML::Node& value,
                     const std::string& where) {
    const Setting* setting = find_setting(key);
    if (key == "run") {
      problems_.add(where, path, "a sweep names the run directories itself, under its key 'runs'");
    } else if (setting == nullptr) {
      problems_.add(where, path,
                    fmt::format("unknown key; did you mean '{}'?", nearest_key(key, known_keys())));
    } else {
      RunConfig scratch;
      read_setting(*setting, value, where, source_, scratch, problems_);
    }
  }

  void multiply() {
    sweep_.points = {SweepPoint()};
    for (const GridAxis& axis : axes_) {
      if (sweep_.points.size() * axis.values.size() > most_points) {
        fail_config("{}: grid: more than {} points", source_.name, most_points);
      }
      std::vector<SweepPoint> longer;
      for (const SweepPoint& point : sweep_.points) {
        for (const std::string& value : axis.values) {
          longer.push_back(point);
          longer.back().settings.emplace_back(axis.key, value);
        }
      }
      sweep_.points = std::move(longer);
    }
  }

  void find_varying() {
    std::map<std::string, std::set<std::string>> values;
    std::map<std::string, std::size_t> points_with;
    std::vector<std::string> order;
    for (const SweepPoint& point : sweep_.points) {
      for (const auto& [key, value] : point.settings) {
        if (points_with[key]++ == 0) order.push_back(key);
        values[key].insert(value);
      }
    }
    for (const std::string& key : order) {
      // A key that some points leave at its default varies too.
      if (values[key].size() > 1 || points_with[key] < sweep_.points.size()) sweep_.varying.push_back(key);
    }
  }

  void name_points() {
    std::map<std::string, std::size_t> index_of_name;
    std::map<std::map<std::string, std::string>, std::size_t> index_of_settings;
    for (std::size_t i = 0; i < sweep_.points.size(); ++i) {
      SweepPoint& point = sweep_.points[i];
      if (point.name.empty()) point.name = point_name(point, sweep_.varying);
      const auto [twin, is_new] =
          index_of_settings.emplace(std::map(point.settings.begin(), point.settings.end()), i);
      const auto [namesake, is_new_name] = index_of_name.emplace(point.name, i);
      if (!is_new) {
        problems_.add_line(
            fmt::format("{}: points {} and {} have the same settings", source_.name, twin->second, i));
      } else if (!is_new_name) {
        problems_.add_line(fmt::format("{}: points {} and {} are both called '{}'; name them under 'points'",
                                       source_.name, namesake->second, i, point.name));
      }
    }
  }

  YAML::Node root_;
  Source source_;
  Problems problems_;
  Sweep sweep_;
  std::vector<GridAxis> axes_;
};

}  // namespace

Sweep load_sweep(const fs::path& file) {
  return SweepLoader(file).load();
}

RunConfig load_point(const Sweep& sweep, const SweepPoint& point, const std::vector<std::string>& overrides,
                     std::span<const Input> inputs) {
  std::vector<std::string> all;
  for (const auto& [key, value] : point.settings) all.push_back(key + "=" + value);
  all.insert(all.end(), overrides.begin(), overrides.end());
  all.push_back("run=" + quote_text(escape_variables((fs::path(sweep.runs) / point.name).string())));
  return in_context(fmt::format("sweep point '{}'", point.name),
                    [&] { return load_config(sweep.config, all, inputs); });
}

}  // namespace rocket
