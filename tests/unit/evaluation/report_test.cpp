#include "evaluation/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <regex>
#include <set>

#include "evaluation/report_charts.h"
#include "evaluation/report_names.h"
#include "evaluation/report_svg.h"

namespace rocket {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

/// What is wrong with the markup: tags that do not close each other, bad attributes or entities; "" if
/// nothing is.
std::string first_fault(const std::string& page) {
  static const std::regex tag(
      R"re(<(/?)([a-zA-Z][a-zA-Z0-9]*)((?:\s+[a-zA-Z][a-zA-Z0-9-]*="[^"<]*")*)\s*(/?)>)re");
  static const std::regex stray("[<>]|&(?!(?:amp|lt|gt|quot|#39);)");
  static const std::set<std::string> empty_tags = {"meta"};
  const std::string head = "<!doctype html>";
  std::size_t at = page.starts_with(head) ? head.size() : 0;
  std::vector<std::string> open;
  while (at < page.size()) {
    std::smatch match;
    const auto begin = page.begin() + static_cast<std::ptrdiff_t>(at);
    const bool in_style = !open.empty() && open.back() == "style";
    const std::size_t next = in_style ? page.find("</style>", at) : page.find('<', at);
    const std::string text = page.substr(at, next == std::string::npos ? next : next - at);
    if (!in_style && std::regex_search(text, match, stray)) {
      return "stray " + match.str() + " in " + text;
    }
    if (next == std::string::npos) {
      break;
    }
    if (!std::regex_search(begin + static_cast<std::ptrdiff_t>(next - at), page.end(), match, tag,
                           std::regex_constants::match_continuous)) {
      return "bad tag at " + page.substr(next, 60);
    }
    at = next + static_cast<std::size_t>(match.length());
    if (match[1].length() > 0) {
      if (open.empty() || open.back() != match[2]) {
        return "unexpected " + match.str();
      }
      open.pop_back();
    } else if (match[4].length() == 0 && !empty_tags.contains(match[2])) {
      open.push_back(match[2]);
    }
  }
  return open.empty() ? "" : "not closed: " + open.back();
}

ReportBank some_bank() {
  ReportBank bank;
  bank.shots = 50;
  bank.base = ReportAdapter{.name = "(base)", .perplexity = 1.16, .accuracy = 0.24};
  for (int i = 0; i < 40; ++i) {
    ReportAdapter adapter{.name = "adapter-" + std::to_string(i)};
    adapter.perplexity = 1.05 + 0.1 * std::abs(std::sin(i));
    adapter.accuracy = std::round(25 * (1 + std::cos(3.0 * i))) / 50;
    adapter.place = i;
    adapter.candidate = i % 5 == 0;
    adapter.expert = i % 10 == 0;
    adapter.perplexity_share = i < 7 ? 0.5 : 0.01;
    adapter.accuracy_share = 0.2;
    bank.adapters.push_back(adapter);
  }
  return bank;
}

ReportData full_report() {
  ReportData data;
  data.run = "runs/x";
  data.task = "number";
  data.version = "0.1.0";
  data.config_path = "configs/x.yaml";
  data.settings = {{"task.k", "50"}};
  data.systems = {{"expert", "expert", 260, 300, true, 0},
                  {"base", "base", 92, 300, false, 41},
                  {"best_single", "best single", 109, 300}};
  data.systems[0].best = 1;
  data.differences = {{"expert", "base", 0.56, 0.5, 0.61, 170, 2, 1e-40, true, true},
                      {"expert", "best_single", 0.5, 0.43, 0.56, 153, 2, 1e-30, true, true},
                      {"base", "best_single", -0.057, -0.12, 0.01, 30, 47, 0.07, false, false}};
  data.chance = 0.25;
  data.bank = some_bank();
  data.similarity =
      ReportSimilarity{{"a", "b", "c"}, {1, 0, 1}, {1, 0.1, -0.25, 0.1, 1, 0.3, -0.25, 0.3, 1}, -0.25};
  ReportSelection selection;
  selection.records = 1000;
  selection.policy = "greedy";
  selection.threshold = 0.9;
  for (int i = 0; i < 100; ++i) {
    selection.similarity.push_back(1.0f - 0.002f * static_cast<float>(i));
    selection.kept.push_back(i % 3 != 1);
  }
  selection.curve = sample_curve(selection.similarity);
  selection.examples = {{"one", "two", 0.95, 0.87, 0.86}};
  selection.sources = {{"corpus/a.jsonl", 70, 50}, {"corpus/b.parquet", 30, 17}};
  selection.plane = ReportPlane{{{0, 0.5}}, {{-1, 0.25}, {1, 0}}, {{0.5, -0.5}}, {0.4, 0.2}, 7};
  data.selection = selection;
  for (int i = 1; i <= 30; ++i) {
    data.training.push_back({i, i / 11, 2.0 / i, 1e-5 * i, 1.0});
  }
  data.load =
      ReportLoad{{"model.layers.0.q_proj", "model.layers.1.q_proj"}, {"a", "c"}, {0.25, 0.75, 0.5, 0.5}};
  data.jobs = {{"score", "done", 75.0}, {"evaluate", "absent", std::nullopt}};
  return data;
}

TEST(Report, IsWellFormed) {
  EXPECT_EQ(first_fault(render_report(full_report())), "");
  EXPECT_EQ(first_fault(render_report({})), "");
  // The check itself can fail.
  EXPECT_NE(first_fault("<p><b></p></b>"), "");
  EXPECT_NE(first_fault("<p class=a></p>"), "");
  EXPECT_NE(first_fault("<p>a & b</p>"), "");
  EXPECT_NE(first_fault("<p>"), "");
}

TEST(Report, NeedsNothingFromOutside) {
  std::string page = render_report(full_report());
  page = std::regex_replace(page, std::regex("xmlns=\"http://www.w3.org/2000/svg\""), "");
  for (const char* word : {"http", "<script", "src=", "@import", "url(", "<link", "<iframe", "javascript:"}) {
    EXPECT_THAT(page, Not(HasSubstr(word)));
  }
}

TEST(Report, EscapesHostileNames) {
  const std::string evil = "</title><script>alert(\"1\")</script>&'\x01\xff<b onload='x'>";
  ReportData data = full_report();
  data.run = data.task = data.version = data.config_path = evil;
  data.settings = {{evil, evil}};
  data.jobs = {{evil, evil, 1.0}};
  for (ReportSystem& system : data.systems) {
    system.label = evil;
  }
  for (ReportDifference& pair : data.differences) {
    pair.a = pair.b = evil;
  }
  for (ReportAdapter& adapter : data.bank->adapters) {
    adapter.name = evil;
  }
  data.bank->notes = {evil};
  data.similarity->names = {evil, evil, evil};
  data.selection->policy = evil;
  data.selection->examples = {{evil, evil, 0.9}};
  data.selection->sources = {{evil, 1, 1}};
  data.load->modules = {evil, evil};
  data.load->experts = {evil, evil};
  const std::string page = render_report(data);
  EXPECT_EQ(first_fault(page), "");
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("\xff")));
  EXPECT_THAT(page, Not(HasSubstr("\x01")));
  EXPECT_THAT(page, HasSubstr("&lt;/title&gt;&lt;script&gt;alert(&quot;1&quot;)"));
}

TEST(Report, SaysWhatIsMissing) {
  ReportData data;
  data.config_path = "configs/x.yaml";
  const std::string page = render_report(data);
  for (const char* job : {"evaluate", "score", "experts", "select", "finetune"}) {
    EXPECT_THAT(page, HasSubstr(std::string("<code>rocket ") + job + " configs/x.yaml</code> supplies it"));
  }
  EXPECT_THAT(page, Not(HasSubstr("<svg")));
  // An untrained mixture has no curve, and no job is to blame.
  data.jobs = {{"finetune", "done", 1.0}};
  EXPECT_THAT(render_report(data),
              HasSubstr("<code>rocket finetune</code> is done and left nothing to show here"));
}

TEST(Report, EveryPartMayBeMissing) {
  const ReportData full = full_report();
  for (int part = 0; part < 8; ++part) {
    ReportData data = full;
    if (part == 0) data.systems.clear();
    if (part == 1) data.bank.reset();
    if (part == 2) data.similarity.reset();
    if (part == 3) data.selection.reset();
    if (part == 4) data.training.clear();
    if (part == 5) data.load.reset();
    if (part == 6) data.selection = ReportSelection{.policy = "none"};
    if (part == 7) data.bank->base.reset();
    EXPECT_EQ(first_fault(render_report(data)), "") << part;
  }
}

/// The cells of the first row of a table with this heading.
std::vector<std::string> cells_of(const std::string& page, const std::string& heading) {
  const std::size_t row = page.find("<th scope=\"row\">" + heading + "</th>");
  EXPECT_NE(row, std::string::npos) << heading;
  const std::string cells = page.substr(row, page.find("</tr>", row) - row);
  const std::regex cell("<td[^>]*>([^<]*)</td>");
  std::vector<std::string> found;
  for (std::sregex_iterator it(cells.begin(), cells.end(), cell), end; it != end; ++it)
    found.push_back((*it)[1]);
  return found;
}

TEST(Report, ShowsTheResult) {
  const std::string page = render_report(full_report());
  EXPECT_THAT(cells_of(page, "expert"),
              ElementsAre("260", "300", "86.7\u00A0%", "2.0", "82.4 – 90.1", "0", "100.0\u00A0%"));
  EXPECT_THAT(cells_of(page, "base"), testing::Contains("41"));
  EXPECT_THAT(cells_of(page, "best single"), testing::Contains("–")) << "of an older file it is not known";
  EXPECT_THAT(page, HasSubstr("A guess would be right in 25.0\u00A0%"));
  EXPECT_THAT(page, HasSubstr("<dt>Over the base</dt><dd>+56.0<small>"));
  EXPECT_THAT(page, HasSubstr("7 of 40 adapters cannot be told from the best by perplexity, 40 by accuracy"));
  EXPECT_THAT(page, HasSubstr("<td>67</td>"));  // kept records
}

struct Circle {
  double x, y;
};
std::vector<Circle> circles(const std::string& picture) {
  const std::regex dot("<circle cx=\"([0-9.]+)\" cy=\"([0-9.]+)\"");
  std::vector<Circle> found;
  for (std::sregex_iterator it(picture.begin(), picture.end(), dot), end; it != end; ++it)
    found.push_back({std::stod((*it)[1]), std::stod((*it)[2])});
  return found;
}

TEST(Report, ShowsTheDifferences) {
  const std::string page = render_report(full_report());
  EXPECT_THAT(cells_of(page, "expert − base"),
              ElementsAre("+56.0", "+50.0 to +61.0", "170", "2", "1.0e-40", "yes"));
  EXPECT_THAT(cells_of(page, "base − best_single"),
              ElementsAre("−5.7", "−12.0 to +1.0", "30", "47", "0.070", "no"));
  EXPECT_THAT(page, HasSubstr("correction over 3 pairs"));
}

ReportData with_pairs(int systems) {
  ReportData data = full_report();
  data.differences.clear();
  for (int a = 0; a < systems; ++a)
    for (int b = a + 1; b < systems; ++b)
      data.differences.push_back(
          {.a = a == 0 ? "expert" : "expert:a-long-name-of-an-adapter-" + std::to_string(a),
           .b = "expert:a-long-name-of-an-adapter-" + std::to_string(b),
           .difference = 0.1 * (b - 4),
           .low = 0.1 * (b - 4) - 0.05,
           .high = 0.1 * (b - 4) + 0.05,
           .beyond_chance = b != 4,
           .ours = a == 0});
  return data;
}

TEST(DifferencesChart, SaysInWordsWhatItShows) {
  const std::string picture = report::differences_chart(full_report().differences, 330);
  EXPECT_THAT(picture,
              HasSubstr("<desc>expert − base: +56.0 points, 95 % interval +50.0 to +61.0, beyond chance; "));
  EXPECT_THAT(
      picture,
      HasSubstr("base − best_single: −5.7 points, 95 % interval −12.0 to +1.0, may be chance</desc>"));
  EXPECT_THAT(picture, HasSubstr("class=\"dot ours\""));
  EXPECT_THAT(picture, HasSubstr("class=\"open rival\""));
  EXPECT_THAT(picture, HasSubstr(">0</text>"));
}

TEST(DifferencesChart, KeepsMarksAndWordsInside) {
  for (const double width : {920.0, 330.0}) {
    const std::string picture = report::differences_chart(with_pairs(5).differences, width);
    EXPECT_EQ(first_fault(picture), "");
    const std::regex text(
        "<text x=\"([0-9.]+)\" y=\"([0-9.]+)\" text-anchor=\"(start|end)\" class=\"label( "
        "strong)?\">([^<]*)<");
    std::map<std::string, std::pair<double, double>>
        rows;  // of a line: where the name ends, where the number begins
    for (std::sregex_iterator it(picture.begin(), picture.end(), text), end; it != end; ++it) {
      const double x = std::stod((*it)[1]), bold = (*it)[4].matched ? report::kBold : 1;
      const double wide = bold * report::text_width((*it)[5].str());
      const bool number = (*it)[5].str().find_first_not_of("+−.0123456789") == std::string::npos;
      EXPECT_GE((*it)[3] == "end" ? x - wide : x, -1) << (*it)[5];
      EXPECT_LE((*it)[3] == "end" ? x : x + wide, width) << (*it)[5];
      (number ? rows[(*it)[2]].second : rows[(*it)[2]].first) = (*it)[3] == "start" ? x + wide
                                                                : number            ? x - wide
                                                                                    : x;
    }
    EXPECT_EQ(rows.size(), 10u);
    for (const auto& [line, ends] : rows) EXPECT_LT(ends.first, ends.second) << line;
    for (const Circle& dot : circles(picture)) {
      EXPECT_GT(dot.x, 5);
      EXPECT_LT(dot.x, width - 5);
    }
  }
}

TEST(DifferencesChart, DrawsThoseOfTheExpertWhereThereAreMany) {
  const ReportData data = with_pairs(7);
  const std::vector<ReportDifference> drawn = report::drawn_differences(data.differences);
  EXPECT_EQ(drawn.size(), 6u);
  EXPECT_TRUE(std::ranges::all_of(drawn, &ReportDifference::ours));
  EXPECT_THAT(render_report(data), HasSubstr("6 of 21 pairs are drawn; the table has all"));
  EXPECT_EQ(report::drawn_differences(with_pairs(5).differences).size(), 10u);
}

TEST(Report, OddNumbersDoNoHarm) {
  ReportData data = full_report();
  data.systems = {{"expert", "expert", 0, 0, true}, {"base", "base", 0, 5}};
  for (ReportAdapter& adapter : data.bank->adapters) {
    adapter.perplexity = std::numeric_limits<double>::infinity();
  }
  data.bank->base->perplexity = 1e300;
  data.similarity->matrix.assign(9, std::nan(""));
  for (ReportStep& step : data.training) {
    step.loss = std::nan("");
    step.gradient_norm = std::numeric_limits<double>::infinity();
    step.learning_rate = 0;
  }
  const std::string page = render_report(data);
  EXPECT_EQ(first_fault(page), "");
  EXPECT_THAT(page, HasSubstr("∞"));
  const std::regex number("(x|y|cx|cy|x1|y1|x2|y2|width|height|d|points)=\"[^\"]*(nan|inf)");
  EXPECT_FALSE(std::regex_search(page, number));
}

/// The height of the last point of a path of this class.
double last_height(const std::string& picture, const std::string& name) {
  const std::regex path("<path d=\"[^\"]*L[0-9.]+ ([0-9.]+)\" class=\"" + name + "\"");
  std::smatch found;
  EXPECT_TRUE(std::regex_search(picture, found, path)) << picture;
  return found.empty() ? 0 : std::stod(found[1]);
}

TEST(TrainingChart, AnUpdateOfFewRecordsDoesNotLiftTheStrongLine) {
  std::vector<ReportStep> steps;
  for (std::int64_t i = 1; i <= 60; ++i) steps.push_back({i, 0, 0.1, 1e-3, 0.1, 1000});
  const std::string flat = report::training_chart(steps, report::Curve::loss, 900, 260);
  steps.push_back({61, 0, 1.0, 1e-3, 0.1, 10});
  const std::string jump = report::training_chart(steps, report::Curve::loss, 900, 260);
  EXPECT_LT(last_height(jump, "raw"), 40) << "the update itself is at the top";
  const double bottom = 260 - 40, mean = bottom - last_height(jump, "curve"),
               top = bottom - last_height(jump, "raw");
  EXPECT_NEAR(mean / top, 0.1 + 0.9 * 10 / 2010, 0.003);
  EXPECT_EQ(last_height(flat, "raw"), last_height(flat, "curve"));
}

/// Where the diamond of the base is.
std::pair<double, double> base_mark(const std::string& picture) {
  const std::regex mark("<path d=\"M([0-9.]+) ([0-9.]+)l6 6l-6 6l-6 -6z\" class=\"base-mark\"");
  std::smatch found;
  EXPECT_TRUE(std::regex_search(picture, found, mark)) << "no mark of the base";
  return found.empty() ? std::pair(0.0, 0.0) : std::pair(std::stod(found[1]), std::stod(found[2]) + 6);
}

TEST(BankChart, ShowsABaseThatIsWorseThanAllAdapters) {
  for (const double width : {920.0, 330.0}) {
    ReportBank bank = some_bank();  // adapters from 1.05 to 1.15
    bank.base->perplexity = 1.25;
    bank.base->accuracy = 0.0;
    const std::string near = report::bank_chart(bank, width);
    for (const Circle& dot : circles(near)) EXPECT_LT(dot.x, base_mark(near).first);
    EXPECT_THAT(near, HasSubstr("class=\"reference\""));
    EXPECT_LT(base_mark(near).first, width - 14) << "on the axis";
    bank.base->perplexity = 14.5;
    const std::string far = report::bank_chart(bank, width);
    for (const Circle& dot : circles(far)) EXPECT_LT(dot.x, base_mark(far).first);
    EXPECT_THAT(far, Not(HasSubstr("class=\"reference\""))) << "beyond the axis";
    EXPECT_THAT(far, HasSubstr(">14.50<"));
  }
}

TEST(BankChart, ShowsTheBaseAtItsAccuracy) {
  ReportBank bank = some_bank();
  for (ReportAdapter& adapter : bank.adapters) adapter.accuracy = 0.6 + 0.3 * adapter.accuracy;
  bank.base->accuracy = 0.1;
  const std::string picture = report::bank_chart(bank, 920);
  for (const Circle& dot : circles(picture)) EXPECT_GT(base_mark(picture).second, dot.y + 50);
}

TEST(BankChart, TheLabelOfTheBaseCoversNoDot) {
  ReportBank bank = some_bank();
  // Dots along the line of the base, down to the axis, where its label was.
  for (std::size_t i = 0; i < 12; ++i) {
    bank.adapters[i].perplexity = bank.base->perplexity + 0.0015 * static_cast<double>(i % 4);
    bank.adapters[i].accuracy = 0.02 * static_cast<double>(i);
  }
  bank.base->name = "base";
  const std::string picture = report::bank_chart(bank, 920);
  const std::regex label(
      "<text x=\"([0-9.]+)\" y=\"([0-9.]+)\" text-anchor=\"(middle|start)\" class=\"tick label\">base<");
  std::smatch found;
  ASSERT_TRUE(std::regex_search(picture, found, label));
  const double half = report::text_width("base") / 2, y = std::stod(found[2]) - 4;
  const double x = std::stod(found[1]) + (found[3] == "start" ? half : 0);
  for (const Circle& dot : circles(picture))
    EXPECT_TRUE(std::abs(dot.x - x) > half + 4 || std::abs(dot.y - y) > 9) << dot.x << " " << dot.y;
}

TEST(BankChart, NoTickTouchesTheWordBeyond) {
  for (const double width : {920.0, 330.0}) {
    for (int i = 0; i < 60; i += 5) {
      ReportBank bank = some_bank();
      bank.adapters[7].perplexity = 1.12 + 0.002 * i;  // moves the end of the axis
      bank.adapters[7].expert = true;
      bank.adapters[3].perplexity = 40;
      const std::string picture = report::bank_chart(bank, width);
      const std::regex text(
          "<text x=\"([0-9.]+)\" y=\"([0-9.]+)\" text-anchor=\"(middle|start)\" class=\"tick\">([^<]*)<");
      double beyond = 0, line = 0;
      std::vector<std::pair<double, double>> ends;  // of the labels: right end, line
      for (std::sregex_iterator it(picture.begin(), picture.end(), text), end; it != end; ++it) {
        if ((*it)[4].str().starts_with("beyond")) {
          beyond = std::stod((*it)[1]);
          line = std::stod((*it)[2]);
        } else if ((*it)[3] == "middle") {
          ends.emplace_back(std::stod((*it)[1]) + report::text_width((*it)[4].str()) / 2,
                            std::stod((*it)[2]));
        }
      }
      ASSERT_GT(beyond, 0);
      EXPECT_GE(ends.size(), 1u);
      for (const auto& [right, y] : ends) EXPECT_TRUE(y != line || right + 4 < beyond) << i;
    }
  }
}

TEST(BankChart, LabelsDoNotHideEachOther) {
  ReportBank bank = some_bank();
  for (std::size_t i = 0; i < 40; i += 5) {
    bank.adapters[i].perplexity = 1.07 + 0.0004 * static_cast<double>(i);
    bank.adapters[i].accuracy = 0.5;
  }
  const std::string picture = report::bank_chart(bank, 920);
  const std::regex label(
      "<text x=\"([0-9.]+)\" y=\"([0-9.]+)\" text-anchor=\"middle\" class=\"label( strong)?\">([^<]*)<");
  struct Seen {
    double x, y, half;
  };
  std::vector<Seen> seen;
  for (std::sregex_iterator it(picture.begin(), picture.end(), label), end; it != end; ++it) {
    const Seen now{std::stod((*it)[1]), std::stod((*it)[2]), report::text_width((*it)[4].str()) / 2};
    for (const Seen& other : seen) {
      EXPECT_TRUE(std::abs(now.x - other.x) >= now.half + other.half || std::abs(now.y - other.y) >= 12)
          << (*it)[4];
    }
    EXPECT_GT(now.x - now.half, 30);
    EXPECT_LT(now.x + now.half, 920);
    seen.push_back(now);
  }
  EXPECT_EQ(seen.size(), 8u);
}

TEST(CorpusChart, TheLabelOfTheCutStaysInsideThePicture) {
  for (const int retrieved : {1, 30, 1000, 90000}) {
    ReportSelection selection;
    std::vector<float> corpus;
    for (int i = 0; i < 100000; ++i) corpus.push_back(0.9f - 1e-6f * static_cast<float>(i));
    selection.similarity.assign(corpus.begin(), corpus.begin() + retrieved);
    selection.kept.assign(retrieved, 1);
    selection.curve = sample_curve(corpus);
    for (const double width : {920.0, 330.0}) {
      const std::string picture = report::corpus_chart(selection, width);
      const std::regex label(
          "<text x=\"([0-9.]+)\" y=\"[0-9.]+\" text-anchor=\"(end|start)\" class=\"label\">([^<]*)<");
      int lines = 0;
      for (std::sregex_iterator it(picture.begin(), picture.end(), label), end; it != end; ++it, ++lines) {
        const double x = std::stod((*it)[1]), wide = report::text_width((*it)[3].str());
        EXPECT_GE((*it)[2] == "end" ? x - wide : x, 42) << retrieved;
        EXPECT_LE((*it)[2] == "end" ? x : x + wide, width) << retrieved;
      }
      EXPECT_EQ(lines, 2);
    }
  }
}

TEST(BankChart, OutliersDoNotPressTheOthersTogether) {
  ReportBank bank = some_bank();
  const auto spread = [](const std::string& picture) {
    const std::regex dot("<circle cx=\"([0-9.]+)\"");
    std::multiset<double> x;
    for (std::sregex_iterator it(picture.begin(), picture.end(), dot), end; it != end; ++it) {
      x.insert(std::stod((*it)[1]));
    }
    return *std::next(x.begin(), 30) - *x.begin();
  };
  const double before = spread(report::bank_chart(bank, 920));
  bank.adapters[3].perplexity = 40;
  bank.adapters[4].perplexity = std::numeric_limits<double>::infinity();
  const std::string picture = report::bank_chart(bank, 920);
  EXPECT_GT(spread(picture), 0.8 * before);
  EXPECT_THAT(picture, HasSubstr(">40.00<"));
  EXPECT_THAT(picture, HasSubstr(">∞<"));
}

TEST(SampleCurve, KeepsBothEndsAndFallsSteadily) {
  std::vector<float> similarity;
  for (int i = 0; i < 5000; ++i) {
    similarity.push_back(static_cast<float>((i * 37) % 5000) / 5000);
  }
  const auto curve = sample_curve(similarity, 100);
  EXPECT_LE(curve.size(), 100u);
  EXPECT_GT(curve.size(), 70u);
  EXPECT_EQ(curve.front().first, 1);
  EXPECT_EQ(curve.back().first, 5000);
  for (const auto& [place, value] : curve) {
    EXPECT_EQ(value, static_cast<float>(5000 - place) / 5000);
  }
  EXPECT_TRUE(sample_curve({}).empty());
  EXPECT_EQ(sample_curve({0.5f}).size(), 1u);
}

TEST(ReportNumbers, AreSober) {
  EXPECT_EQ(report::figure(1.0713), "1.071");
  EXPECT_EQ(report::figure(39.777), "39.78");
  EXPECT_EQ(report::figure(1.2e7), "1.2e+07");
  EXPECT_EQ(report::grouped(1234567), "1,234,567");
  EXPECT_EQ(report::grouped(999), "999");
  EXPECT_EQ(report::duration(8.44), "8.4 s");
  EXPECT_EQ(report::duration(200), "3 min 20 s");
  EXPECT_EQ(report::duration(7500), "2 h 5 min");
  EXPECT_THAT(report::tick_labels(report::Axis(0, 1, 0, 100).ticks(5)),
              ElementsAre("0.0", "0.2", "0.4", "0.6", "0.8", "1.0"));
  EXPECT_THAT(report::Axis(1, 5000, 0, 100, true).ticks(5), ElementsAre(1, 10, 100, 1000));
}

TEST(ReportNames, LoseWhatAllHaveInCommon) {
  const auto affixes =
      report::common_affixes({"lora-library-home-r16", "lora-library-house-r16", "lora-library-horse-2-r16"});
  EXPECT_EQ(affixes.front, "lora-library-");
  EXPECT_EQ(affixes.back, "-r16");
  EXPECT_EQ(affixes.strip("lora-library-horse-2-r16"), "horse-2");
  EXPECT_EQ(affixes.strip("something else"), "something else");
  EXPECT_TRUE(report::common_affixes({"home-a", "home-b"}).empty());
  EXPECT_TRUE(report::common_affixes({"a-very-long-name-of-one", "a-very-long-name-of-one"}).empty());
}

}  // namespace
}  // namespace rocket
