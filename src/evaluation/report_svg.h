// Small tools for pictures and numbers of the report: SVG elements, axes, number formats.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

namespace rocket::report {

/// Pictures narrower than this are for phones.
inline constexpr double kNarrow = 500;
/// How much wider bold text is.
inline constexpr double kBold = 1.15;

/// Text for XML and HTML, also inside attributes.
std::string escape(std::string_view text);

/// "71.3 %", one decimal.
std::string percent(double share);
/// A difference of shares in points, with its sign: "+1.3".
std::string points(double difference);
/// Four significant digits, "1.2e+05" for very large, "∞".
std::string figure(double value);
/// "1,234,567".
std::string grouped(std::int64_t number);
/// "8.4 s", "3 min 20 s", "2 h 5 min".
std::string duration(double seconds);

enum class Anchor { start, middle, end };

/// About how wide a text is in a picture at the 12 px that all labels have.
double text_width(std::string_view text);
/// The text, or its beginning and "…", so that it is at most so wide.
std::string clipped(std::string_view text, double width);

/// One picture. Coordinates are CSS pixels at its own width; classes are those of the page's style sheet.
class Svg {
 public:
  Svg(double width, double height, std::string_view title, std::string_view description);

  void line(double x1, double y1, double x2, double y2, std::string_view css);
  void rect(double x, double y, double width, double height, std::string_view css,
            std::string_view extra = "", std::string_view tip = "");
  void circle(double x, double y, double radius, std::string_view css, std::string_view tip = "");
  void path(const std::string& d, std::string_view css, std::string_view tip = "");
  void text(double x, double y, std::string_view text, Anchor anchor = Anchor::start,
            std::string_view css = "");
  std::string str() const;

 private:
  std::string body_;
};

/// Maps values to pixels, linearly or by logarithm, and knows good places for ticks.
class Axis {
 public:
  Axis(double low, double high, double from, double to, bool logarithmic = false);
  double operator()(double value) const;
  bool logarithmic() const { return logarithmic_; }
  /// Round values inside the range, about so many.
  std::vector<double> ticks(int about) const;

 private:
  double low_, high_, from_, to_;
  bool logarithmic_;
};

/// Labels with as many decimals as the ticks need to differ, the same for all unless the axis is logarithmic.
std::vector<std::string> tick_labels(const std::vector<double>& ticks, bool logarithmic = false);

}  // namespace rocket::report
