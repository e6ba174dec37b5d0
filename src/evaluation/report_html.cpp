#include "evaluation/report_html.h"

#include <algorithm>
#include <utility>

#include "evaluation/report_svg.h"

namespace rocket::report {
namespace {

constexpr double kWide = 920, kPhone = 330;

}  // namespace

std::string figure_of(const std::function<std::string(double width)>& draw) {
  return fmt::format("<figure><div class=\"wide\">{}</div><div class=\"phone\">{}</div></figure>\n",
                     draw(kWide), draw(kPhone));
}

std::string section(std::string_view title, std::string_view reading, const std::string& body) {
  return fmt::format("<section>\n<h2>{}</h2>\n<p class=\"read\">{}</p>\n{}</section>\n", title, reading,
                     body);
}

std::string missing(std::string_view title, std::string_view job, const ReportData& data) {
  const bool done = std::any_of(data.jobs.begin(), data.jobs.end(),
                                [&](const ReportJob& row) { return row.name == job && row.state == "done"; });
  const std::string config = escape(data.config_path.empty() ? "CONFIG" : data.config_path);
  const std::string text =
      done ? fmt::format("<code>rocket {}</code> is done and left nothing to show here.", job)
           : fmt::format("Not computed yet. <code>rocket {} {}</code> supplies it.", job, config);
  return fmt::format("<section class=\"missing\">\n<h2>{}</h2>\n<p>{}</p>\n</section>\n", title, text);
}

std::string folded(std::string_view summary, const std::string& body) {
  return fmt::format("<details><summary>{}</summary>{}</details>\n", summary, body);
}

std::string key(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string html = "<ul class=\"key\">";
  for (const auto& [css, text] : entries) {
    html += fmt::format("<li><i class=\"{}\"></i>{}</li>", css, escape(text));
  }
  return html + "</ul>\n";
}

Table::Table(std::vector<Column> columns, On phones)
    : columns_(std::move(columns)), stacked_(phones == On::phones_stacked) {
  html_ = fmt::format("<div class=\"scroll\"><table{}>\n<thead><tr>", stacked_ ? " class=\"stacked\"" : "");
  for (const Column& column : columns_) {
    html_ += fmt::format("<th scope=\"col\"{}>{}</th>", column.words ? " class=\"words\"" : "", column.title);
  }
  html_ += "</tr></thead>\n<tbody>\n";
}

void Table::row(const std::vector<std::string>& cells, std::string_view css) {
  html_ += fmt::format("<tr{}><th scope=\"row\">{}</th>",
                       css.empty() ? "" : fmt::format(" class=\"{}\"", css), cells[0]);
  for (std::size_t i = 1; i < cells.size(); ++i) {
    html_ += fmt::format("<td{}{}>{}</td>", columns_[i].words ? " class=\"words\"" : "",
                         stacked_ ? fmt::format(" data-title=\"{}\"", columns_[i].title) : "", cells[i]);
  }
  html_ += "</tr>\n";
}

std::string Table::str() const {
  return html_ + "</tbody></table></div>\n";
}

}  // namespace rocket::report
