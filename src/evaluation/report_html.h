// HTML that the sections of the report are made of.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "evaluation/report.h"

namespace rocket::report {

/// A picture for screens and the same for phones; the style sheet shows one of them.
std::string figure_of(const std::function<std::string(double width)>& draw);

/// A card: its title, one sentence on how to read it, its contents.
std::string section(std::string_view title, std::string_view reading, const std::string& body);

/// A card that says which job would fill it.
std::string missing(std::string_view title, std::string_view job, const ReportData& data);

/// What opens on a click.
std::string folded(std::string_view summary, const std::string& body);

/// Colours of a picture and what they stand for: (class, text).
std::string key(const std::vector<std::pair<std::string, std::string>>& entries);

struct Column {
  std::string title;  // HTML
  bool words = false;
};

/// A table whose cells are HTML already; the first cell of a row is its heading.
class Table {
 public:
  /// On phones a wide table is scrolled, or each row becomes its heading with the cells under it, each with
  /// the title of its column.
  enum class On { phones_scrolled, phones_stacked };

  explicit Table(std::vector<Column> columns, On phones = On::phones_scrolled);
  void row(const std::vector<std::string>& cells, std::string_view css = "");
  std::string str() const;

 private:
  std::vector<Column> columns_;
  bool stacked_;
  std::string html_;
};

}  // namespace rocket::report
