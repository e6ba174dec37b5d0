#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "evaluation/report_charts.h"
#include "evaluation/report_svg.h"

namespace rocket::report {
namespace {

constexpr double kLineHeight = 14;

struct Box {
  double left = 0, top = 0, right = 0, bottom = 0;

  double overlap(const Box& other) const {
    const double w = std::min(right, other.right) - std::max(left, other.left);
    const double h = std::min(bottom, other.bottom) - std::max(top, other.top);
    return w > 0 && h > 0 ? w * h : 0;
  }
};

struct Dot {
  const ReportAdapter* adapter = nullptr;
  double x = 0, y = 0;
  bool beyond = false;
};

/// The largest perplexity that still shares the axis: outliers would press all others into a corner.
double axis_end(const ReportBank& bank) {
  std::vector<double> sorted;
  for (const ReportAdapter& adapter : bank.adapters) {
    if (std::isfinite(adapter.perplexity)) {
      sorted.push_back(adapter.perplexity);
    }
  }
  if (sorted.empty()) {
    return 2;
  }
  std::sort(sorted.begin(), sorted.end());
  const double q1 = sorted[sorted.size() / 4], q3 = sorted[sorted.size() * 3 / 4];
  const double fence = q3 + 3 * (q3 - q1);
  double end = sorted.front();
  for (double value : sorted) {
    end = value <= fence ? value : end;
  }
  for (const ReportAdapter& adapter : bank.adapters) {
    if (adapter.expert && std::isfinite(adapter.perplexity)) {
      end = std::max(end, adapter.perplexity);
    }
  }
  if (bank.base && std::isfinite(bank.base->perplexity)) {
    // A base that is worse than all adapters belongs on the axis as long as it leaves them room enough.
    constexpr double kMostStretch = 2.5;
    const double spread = end - sorted.front();
    if (spread == 0 || bank.base->perplexity - sorted.front() <= kMostStretch * spread) {
      end = std::max(end, bank.base->perplexity);
    }
  }
  return end;
}

/// The base and the adapters.
std::vector<const ReportAdapter*> all_of(const ReportBank& bank) {
  std::vector<const ReportAdapter*> all;
  for (const ReportAdapter& adapter : bank.adapters) {
    all.push_back(&adapter);
  }
  if (bank.base) {
    all.push_back(&*bank.base);
  }
  return all;
}

/// Room at the right for the adapters beyond the axis.
double gutter_of(const ReportBank& bank, double end, double width) {
  double widest = 0;
  for (const ReportAdapter* adapter : all_of(bank)) {
    widest = adapter->perplexity > end ? std::max(widest, text_width(adapter->name)) : widest;
  }
  return std::clamp(widest + 30, 70.0, 0.21 * width + 10);
}

double axis_start(const ReportBank& bank, double end) {
  double start = end;
  for (const ReportAdapter* adapter : all_of(bank)) {
    start = std::min(start, adapter->perplexity);
  }
  return start;
}

/// Places labels one after the other where they hide least.
class Labels {
 public:
  Labels(const Box& frame, std::vector<Dot> dots) : frame_(frame), dots_(std::move(dots)) {}

  void place(Svg& svg, const Dot& dot, std::string_view css) {
    const std::string name = clipped(dot.adapter->name, std::max(90.0, 0.3 * (frame_.right - frame_.left)));
    const double width = text_width(name) * (dot.adapter->expert ? kBold : 1) + 6;
    double least = std::numeric_limits<double>::infinity();
    Box best;
    for (double distance : {9.0, 16.0, 28.0, 42.0, 58.0, 76.0, 96.0}) {
      for (int direction = 0; direction < 16; ++direction) {
        const Box box = at(dot, distance, direction * std::acos(-1.0) / 8, width);
        const double cost = cost_of(box) + cost_of_leader(dot, box) + distance * 8 + direction * 0.1;
        if (cost < least) {
          least = cost;
          best = box;
        }
      }
    }
    taken_.push_back(best);
    draw(svg, dot, name, best, css);
  }

 private:
  /// A box whose edge or corner lies in this direction from the dot.
  static Box at(const Dot& dot, double distance, double angle, double width) {
    const double x = dot.x + distance * std::cos(angle), y = dot.y + distance * std::sin(angle);
    const double left = x - width / 2 + width / 2 * std::cos(angle),
                 top = y - kLineHeight / 2 + kLineHeight / 2 * std::sin(angle);
    return {left, top, left + width, top + kLineHeight};
  }

  double cost_of(const Box& box) const {
    double cost = 0;
    if (box.left < frame_.left || box.right > frame_.right || box.top < frame_.top ||
        box.bottom > frame_.bottom) {
      cost += 1e6;
    }
    for (const Box& other : taken_) {
      cost += 100 * box.overlap(other);
    }
    for (const Dot& dot : dots_) {
      const double weight = dot.adapter->candidate || dot.adapter->expert ? 16 : 4;
      cost += weight * box.overlap({dot.x - 7, dot.y - 7, dot.x + 7, dot.y + 7});
    }
    return cost;
  }

  /// Leaders should not run through other dots and labels.
  double cost_of_leader(const Dot& dot, const Box& box) const {
    const double x = std::clamp(dot.x, box.left, box.right), y = std::clamp(dot.y, box.top, box.bottom);
    double cost = 0;
    for (double t : {0.3, 0.6, 0.9}) {
      const double at_x = dot.x + t * (x - dot.x), at_y = dot.y + t * (y - dot.y);
      const Box near{at_x - 4, at_y - 4, at_x + 4, at_y + 4};
      for (const Box& other : taken_) {
        cost += 3 * near.overlap(other);
      }
      for (const Dot& other : dots_) {
        const bool self = other.adapter == dot.adapter;
        cost += self ? 0 : 2 * near.overlap({other.x - 5, other.y - 5, other.x + 5, other.y + 5});
      }
    }
    return cost;
  }

  static void draw(Svg& svg, const Dot& dot, const std::string& name, const Box& box, std::string_view css) {
    const double x = std::clamp(dot.x, box.left, box.right), y = std::clamp(dot.y, box.top, box.bottom);
    if (std::hypot(x - dot.x, y - dot.y) > 11) {
      svg.line(dot.x, dot.y, x, y, "leader");
    }
    svg.text((box.left + box.right) / 2, box.bottom - 3.5, name, Anchor::middle, css);
  }

  Box frame_;
  std::vector<Dot> dots_;
  std::vector<Box> taken_;
};

std::string tip_of(const ReportAdapter& adapter) {
  return fmt::format("{}: perplexity {}, accuracy {}{}", adapter.name, figure(adapter.perplexity),
                     percent(adapter.accuracy),
                     adapter.expert      ? " (expert)"
                     : adapter.candidate ? " (candidate)"
                                         : "");
}

std::string_view dot_class(const ReportAdapter& adapter) {
  return adapter.expert ? "dot expert" : adapter.candidate ? "dot candidate" : "dot other";
}

class BankPicture {
 public:
  BankPicture(const ReportBank& bank, double width)
      : bank_(bank),
        width_(width),
        height_(width < kNarrow ? 400 : 440),
        end_(axis_end(bank)),
        start_(axis_start(bank, end_)),
        beyond_(
            std::ranges::any_of(all_of(bank), [&](const ReportAdapter* a) { return a->perplexity > end_; })),
        gutter_(beyond_ ? gutter_of(bank, end_, width) : 14),
        frame_{40, 12, width - gutter_, height_ - 46},
        x_(make_x()),
        y_(low_accuracy(), high_accuracy(), frame_.bottom - 6, frame_.top + 10),
        svg_(width, height_, "Perplexity against accuracy of the bank",
             fmt::format("{} adapters on {} shots; experts and candidates are labelled", bank.adapters.size(),
                         bank.shots)) {}

  std::string draw() {
    draw_axes();
    std::vector<Dot> dots;
    for (const ReportAdapter& adapter : bank_.adapters) {
      dots.push_back(dot_of(adapter));
    }
    // The chosen ones last, on top of the others.
    std::stable_sort(dots.begin(), dots.end(), [](const Dot& a, const Dot& b) {
      return a.adapter->expert + a.adapter->candidate < b.adapter->expert + b.adapter->candidate;
    });
    for (const Dot& dot : dots) {
      svg_.circle(dot.x, dot.y, dot.adapter->expert ? 6 : 4.5, dot_class(*dot.adapter), tip_of(*dot.adapter));
    }
    if (bank_.base) {
      dots.push_back(dot_of(*bank_.base));
      draw_base(dots.back());
    }
    draw_labels(dots);
    return svg_.str();
  }

 private:
  double low_accuracy() const {
    double low = 1;
    for (const ReportAdapter* adapter : all_of(bank_)) {
      low = std::min(low, adapter->accuracy);
    }
    return std::max(0.0, std::floor(low * 10) / 10);
  }
  double high_accuracy() const {
    double high = 0;
    for (const ReportAdapter* adapter : all_of(bank_)) {
      high = std::max(high, adapter->accuracy);
    }
    return std::min(1.0, std::ceil(high * 10 + 0.01) / 10);
  }

  Axis make_x() const {
    const bool logarithmic = start_ > 0 && end_ / start_ > 10;
    const double room = logarithmic ? 0 : std::max(0.01 * std::abs(end_), 0.05 * (end_ - start_));
    const double stretch = logarithmic ? std::pow(end_ / start_, 0.05) : 1;
    return Axis((start_ - room) / stretch, (end_ + room) * stretch, frame_.left, frame_.right, logarithmic);
  }

  void draw_axes() {
    svg_.rect(frame_.left, frame_.top, frame_.right - frame_.left, frame_.bottom - frame_.top, "frame");
    for (double tick : y_.ticks(5)) {
      svg_.line(frame_.left, y_(tick), frame_.right, y_(tick), "grid");
      svg_.text(frame_.left - 7, y_(tick) + 4, fmt::format("{:.0f}", 100 * tick), Anchor::end, "tick");
    }
    const std::vector<double> ticks = x_.ticks(width_ < kNarrow ? 4 : 7);
    const std::vector<std::string> labels = tick_labels(ticks, x_.logarithmic());
    for (std::size_t i = 0; i < ticks.size(); ++i) {
      svg_.line(x_(ticks[i]), frame_.top, x_(ticks[i]), frame_.bottom, "grid");
      const bool touches_beyond = beyond_ && x_(ticks[i]) + text_width(labels[i]) / 2 > frame_.right;
      if (!touches_beyond) {
        svg_.text(x_(ticks[i]), frame_.bottom + 17, labels[i], Anchor::middle, "tick");
      }
    }
    svg_.text((frame_.left + frame_.right) / 2, height_ - 8,
              x_.logarithmic() ? "perplexity of the shots, lower is better (log)"
                               : "perplexity of the shots, lower is better",
              Anchor::middle, "axis");
    svg_.text(frame_.left + 7, frame_.top + 15, "accuracy, %", Anchor::start, "axis label");
  }

  /// The mark, and where the base is on the axis a line: what lies left of it is better than no adapter.
  void draw_base(const Dot& base) {
    if (!base.beyond) {
      svg_.line(base.x, frame_.top, base.x, frame_.bottom, "reference");
    }
    svg_.path(fmt::format("M{:.1f} {:.1f}l6 6l-6 6l-6 -6z", base.x, base.y - 6), "base-mark",
              tip_of(*base.adapter));
  }

  Dot dot_of(const ReportAdapter& adapter) const {
    const bool beyond = adapter.perplexity > end_;
    return {&adapter, beyond ? frame_.right + 14 : x_(adapter.perplexity), y_(adapter.accuracy), beyond};
  }

  void draw_labels(const std::vector<Dot>& dots) {
    Labels labels({frame_.left + 2, frame_.top + 20, frame_.right - 2, frame_.bottom - 2}, dots);
    std::vector<Dot> beyond;
    for (auto dot = dots.rbegin(); dot != dots.rend(); ++dot) {
      const bool base = is_base(*dot->adapter);
      if (dot->beyond) {
        beyond.push_back(*dot);
      } else if (base || dot->adapter->candidate || dot->adapter->expert) {
        labels.place(svg_, *dot, base ? "tick label" : dot->adapter->expert ? "label strong" : "label");
      }
    }
    draw_beyond(beyond);
  }

  /// Names and perplexities of the outliers, pushed apart so that none hides another.
  void draw_beyond(std::vector<Dot> dots) {
    if (dots.empty()) {
      return;
    }
    svg_.text(frame_.right + 8, frame_.bottom + 17, "beyond ›", Anchor::start, "tick");
    std::sort(dots.begin(), dots.end(), [](const Dot& a, const Dot& b) { return a.y < b.y; });
    const std::size_t most = static_cast<std::size_t>((frame_.bottom - frame_.top) / (2 * kLineHeight));
    double free = frame_.top + 4;
    double last = frame_.bottom - 2 * kLineHeight * static_cast<double>(std::min(most, dots.size()));
    for (std::size_t i = 0; i < std::min(most, dots.size()); ++i) {
      const double top = std::clamp(dots[i].y - kLineHeight, free, std::max(free, last));
      svg_.text(frame_.right + 24, top + 11, clipped(dots[i].adapter->name, gutter_ - 26), Anchor::start,
                "tick");
      svg_.text(frame_.right + 24, top + 24, figure(dots[i].adapter->perplexity), Anchor::start, "tick");
      free = top + 2 * kLineHeight;
      last += 2 * kLineHeight;
    }
  }

  bool is_base(const ReportAdapter& adapter) const { return bank_.base && &adapter == &*bank_.base; }

  const ReportBank& bank_;
  double width_, height_, end_, start_;
  bool beyond_;
  double gutter_;
  Box frame_;
  Axis x_, y_;
  Svg svg_;
};

}  // namespace

std::string bank_chart(const ReportBank& bank, double width) {
  return BankPicture(bank, width).draw();
}

}  // namespace rocket::report
