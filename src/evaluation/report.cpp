#include "evaluation/report.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "evaluation/report_sections.h"
#include "evaluation/report_style.h"
#include "evaluation/report_svg.h"

namespace rocket {

std::vector<std::pair<std::int64_t, float>> sample_curve(std::vector<float> similarity, std::int64_t points) {
  std::sort(similarity.begin(), similarity.end(), std::greater<>());
  std::vector<std::pair<std::int64_t, float>> curve;
  const auto last = static_cast<double>(similarity.size());
  for (std::int64_t i = 0; i < points && !similarity.empty(); ++i) {
    const double share = points > 1 ? static_cast<double>(i) / static_cast<double>(points - 1) : 0;
    const auto place = static_cast<std::int64_t>(std::llround(std::pow(last, share)));
    if (curve.empty() || place > curve.back().first) {
      curve.emplace_back(place, similarity[static_cast<std::size_t>(place - 1)]);
    }
  }
  return curve;
}

std::string render_report(const ReportData& data) {
  std::string page = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{} – rocket report</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n",
      report::escape(data.task.empty() ? data.run : data.task), report::style_sheet());
  for (const auto& part :
       {report::header_part, report::result_section, report::bank_section, report::similarity_section,
        report::records_section, report::training_section, report::load_section, report::run_section}) {
    page += part(data);
  }
  return page +
         fmt::format("<footer>rocket {}</footer>\n</main>\n</body>\n</html>\n", report::escape(data.version));
}

}  // namespace rocket
