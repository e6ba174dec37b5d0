#include "evaluation/report_svg.h"

#include <algorithm>
#include <cmath>

#include "text/unicode.h"

namespace rocket::report {
namespace {

constexpr double kCharacter = 6.7;  // px, mean of a sans serif at 12 px

std::string with_tip(std::string_view element, std::string_view attributes, std::string_view tip) {
  if (tip.empty()) {
    return fmt::format("<{} {}/>\n", element, attributes);
  }
  return fmt::format("<{0} {1}><title>{2}</title></{0}>\n", element, attributes, escape(tip));
}

}  // namespace

std::string escape(std::string_view text) {
  std::string result;
  for (char c : to_utf8_lossy(text)) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default:
        // XML 1.0 has no other control characters.
        result += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? std::string("\uFFFD")
                                                                                 : std::string(1, c);
    }
  }
  return result;
}

std::string percent(double share) {
  return fmt::format("{:.1f}\u00A0%", 100 * share);
}

std::string points(double difference) {
  const double shown = std::abs(100 * difference);
  return fmt::format("{}{:.1f}", shown < 0.05 ? "" : difference < 0 ? "−" : "+", shown);
}

std::string figure(double value) {
  if (!std::isfinite(value)) {
    return std::isnan(value) ? "–" : value > 0 ? "∞" : "−∞";
  }
  const double size = std::abs(value);
  if (size >= 1e5 || (size > 0 && size < 1e-3)) {
    return fmt::format("{:.1e}", value);
  }
  const int decimals = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3;
  return fmt::format("{:.{}f}", value, decimals);
}

std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number < 0 ? -number : number);
  for (std::size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return number < 0 ? "−" + digits : digits;
}

std::string duration(double seconds) {
  if (seconds < 60) {
    return fmt::format("{:.1f} s", seconds);
  }
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole < 3600) {
    return fmt::format("{} min {} s", whole / 60, whole % 60);
  }
  return fmt::format("{} h {} min", grouped(whole / 3600), whole % 3600 / 60);
}

double text_width(std::string_view text) {
  return kCharacter * static_cast<double>(count_characters(text));
}

std::string clipped(std::string_view text, double width) {
  const std::string valid = to_utf8_lossy(text);
  if (text_width(valid) <= width) {
    return valid;
  }
  const auto room = static_cast<std::size_t>(std::max(1.0, width / kCharacter - 1));
  std::size_t at = 0;
  for (std::size_t n = 0; n < room && at < valid.size(); ++n) {
    at += std::max<std::size_t>(1, utf8_length(valid, at));
  }
  return valid.substr(0, at) + "…";
}

Svg::Svg(double width, double height, std::string_view title, std::string_view description)
    : body_(
          fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:g} {1:g}\" width=\"{0:g}\" "
                      "height=\"{1:g}\" role=\"img\">\n<title>{2}</title>\n<desc>{3}</desc>\n",
                      width, height, escape(title), escape(description))) {
}

void Svg::line(double x1, double y1, double x2, double y2, std::string_view css) {
  body_ += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>\n", x1,
                       y1, x2, y2, css);
}

void Svg::rect(double x, double y, double width, double height, std::string_view css, std::string_view extra,
               std::string_view tip) {
  body_ +=
      with_tip("rect",
               fmt::format("x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" class=\"{}\" {}", x,
                           y, std::max(0.0, width), std::max(0.0, height), css, extra),
               tip);
}

void Svg::circle(double x, double y, double radius, std::string_view css, std::string_view tip) {
  body_ += with_tip(
      "circle", fmt::format("cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\" class=\"{}\"", x, y, radius, css), tip);
}

void Svg::path(const std::string& d, std::string_view css, std::string_view tip) {
  body_ += with_tip("path", fmt::format("d=\"{}\" class=\"{}\"", d, css), tip);
}

void Svg::text(double x, double y, std::string_view text, Anchor anchor, std::string_view css) {
  const char* anchors[] = {"start", "middle", "end"};
  body_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" class=\"{}\">{}</text>\n", x, y,
                       anchors[static_cast<int>(anchor)], css, escape(text));
}

std::string Svg::str() const {
  return body_ + "</svg>\n";
}

Axis::Axis(double low, double high, double from, double to, bool logarithmic)
    : low_(low), high_(high > low ? high : low + 1), from_(from), to_(to), logarithmic_(logarithmic) {
  if (logarithmic_) {
    low_ = std::log10(low_);
    high_ = std::log10(high_);
  }
}

double Axis::operator()(double value) const {
  const double at = logarithmic_ ? std::log10(value) : value;
  return from_ + (to_ - from_) * (at - low_) / (high_ - low_);
}

std::vector<double> Axis::ticks(int about) const {
  std::vector<double> result;
  if (logarithmic_) {
    const bool few = high_ - low_ < 2;
    for (double decade = std::floor(low_); decade <= high_; ++decade) {
      for (double factor : few ? std::vector<double>{1, 2, 5} : std::vector<double>{1}) {
        const double value = factor * std::pow(10.0, decade);
        if (std::log10(value) > low_ - 1e-9 && std::log10(value) < high_ + 1e-9) {
          result.push_back(value);
        }
      }
    }
    return result;
  }
  const double raw = (high_ - low_) / about;
  const double decade = std::pow(10.0, std::floor(std::log10(raw)));
  double step = 10 * decade;
  for (double factor : {5.0, 2.5, 2.0, 1.0}) {
    step = factor * decade >= raw ? factor * decade : step;
  }
  const double first = std::ceil(low_ / step - 1e-9);
  for (int i = 0; i <= 2 * about && (first + i) * step <= high_ + 1e-9 * step; ++i) {
    result.push_back((first + i) * step + 0.0);  // no negative zero
  }
  return result;
}

std::vector<std::string> tick_labels(const std::vector<double>& ticks, bool logarithmic) {
  std::vector<std::string> labels;
  double largest = 0;
  for (double tick : ticks) {
    largest = std::max(largest, std::abs(tick));
  }
  if (logarithmic || (largest > 0 && (largest < 1e-3 || largest >= 1e6))) {
    for (double tick : ticks) {
      labels.push_back(fmt::format("{:.3g}", tick));
    }
    return labels;
  }
  for (int decimals = 0; decimals <= 9; ++decimals) {
    labels.clear();
    bool exact = true;
    for (double tick : ticks) {
      labels.push_back(fmt::format("{:.{}f}", tick == 0 ? 0.0 : tick, decimals));
      exact = exact && std::abs(std::stod(labels.back()) - tick) <= 1e-6 * std::abs(tick);
    }
    if (exact) {
      break;
    }
  }
  return labels;
}

}  // namespace rocket::report
