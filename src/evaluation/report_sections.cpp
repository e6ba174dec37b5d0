#include "evaluation/report_sections.h"

#include <algorithm>
#include <cmath>

#include "evaluation/report_charts.h"
#include "evaluation/report_html.h"
#include "evaluation/report_names.h"
#include "evaluation/report_svg.h"
#include "statistics/proportion.h"

namespace rocket::report {
namespace {

constexpr double kDistinguishable = 0.05;

double share_of(const ReportSystem& system) {
  return system.items > 0 ? static_cast<double>(system.correct) / static_cast<double>(system.items) : 0;
}

const ReportSystem* find(const std::vector<ReportSystem>& systems, std::string_view name) {
  for (const ReportSystem& system : systems) {
    if (name == "ours" ? system.ours : system.name == name) {
      return &system;
    }
  }
  return nullptr;
}

std::string fact(std::string_view title, const std::string& value, const std::string& note) {
  return fmt::format("<div><dt>{}</dt><dd>{}<small>{}</small></dd></div>\n", title, value, note);
}

std::string gain(const ReportSystem& ours, const ReportSystem& other, std::string_view title) {
  return fact(title, points(share_of(ours) - share_of(other)), "points; it has " + percent(share_of(other)));
}

std::vector<std::string> experts_of(const ReportData& data) {
  std::vector<std::string> names;
  if (data.similarity) {
    for (std::size_t i = 0; i < data.similarity->names.size(); ++i) {
      if (data.similarity->expert[i]) {
        names.push_back(data.similarity->names[i]);
      }
    }
  } else if (data.bank) {
    for (const ReportAdapter& adapter : data.bank->adapters) {
      if (adapter.expert) {
        names.push_back(adapter.name);
      }
    }
  }
  return names;
}

std::string differences_table(const std::vector<ReportDifference>& pairs) {
  Table table({{"pair"},
               {"difference"},
               {"95\u00A0% interval"},
               {"only the first right"},
               {"only the second"},
               {"p after Holm"},
               {"beyond chance"}},
              Table::On::phones_stacked);
  for (const ReportDifference& pair : pairs) {
    table.row({escape(fmt::format("{} − {}", pair.a, pair.b)), points(pair.difference),
               fmt::format("{} to {}", points(pair.low), points(pair.high)), grouped(pair.a_only),
               grouped(pair.b_only), figure(pair.p_holm), pair.beyond_chance ? "yes" : "no"});
  }
  return table.str();
}

/// Every pair of systems: a picture, and the same as a table.
std::string differences_part(const ReportData& data) {
  if (data.differences.empty()) {
    return "";
  }
  const std::vector<ReportDifference> drawn = drawn_differences(data.differences);
  const std::string rest = drawn.size() < data.differences.size()
                               ? fmt::format(" {} of {} pairs are drawn; the table has all.", drawn.size(),
                                             data.differences.size())
                               : "";
  return "<h3>Differences between the systems</h3>\n" +
         fmt::format(
             "<p class=\"read\">A dot is how many points more of the items the first system answers right "
             "than the second, the bar its 95\u00A0% interval (paired bootstrap). A filled dot is beyond "
             "chance: McNemar\u2019s exact test, p below 0.05 after Holm\u2019s correction over {} pairs. "
             "An open dot may be chance.{}</p>\n",
             data.differences.size(), rest) +
         figure_of([&](double width) { return differences_chart(drawn, width); }) +
         folded("All pairs as a table", differences_table(data.differences));
}

}  // namespace

std::string header_part(const ReportData& data) {
  std::string facts;
  if (const ReportSystem* ours = find(data.systems, "ours")) {
    const auto [low, high] = wilson_interval(ours->correct, ours->items);
    facts += fact("Accuracy of the expert", percent(share_of(*ours)),
                  fmt::format("95\u00A0%: {:.1f} to {:.1f}", 100 * low, 100 * high));
    if (const ReportSystem* base = find(data.systems, "base")) {
      facts += gain(*ours, *base, "Over the base");
    }
    if (const ReportSystem* best = find(data.systems, "best_single")) {
      facts += gain(*ours, *best, "Over the best adapter");
    }
  }
  if (data.selection) {
    const auto kept = std::count(data.selection->kept.begin(), data.selection->kept.end(), 1);
    facts +=
        fact("Records kept", grouped(kept),
             fmt::format("of {} retrieved", grouped(static_cast<std::int64_t>(data.selection->kept.size()))));
  }
  std::string lead;
  for (const std::string& name : experts_of(data)) {
    lead += fmt::format("{}<b>{}</b>", lead.empty() ? "Experts: " : ", ", escape(name));
  }
  return fmt::format("<header>\n<p class=\"over\">rocket report · {}</p>\n<h1>{}</h1>\n{}{}</header>\n",
                     escape(data.run), escape(data.task.empty() ? data.run : data.task),
                     lead.empty() ? "" : "<p class=\"lead\">" + lead + "</p>\n",
                     facts.empty() ? "" : "<dl class=\"facts\">\n" + facts + "</dl>\n");
}

std::string result_section(const ReportData& data) {
  if (data.systems.empty()) {
    return missing("Result", "evaluate", data);
  }
  Table table({{"system"},
               {"correct"},
               {"items"},
               {"accuracy"},
               {"standard error"},
               {"95\u00A0% interval"},
               {"no answer found"},
               {"is the best"}},
              Table::On::phones_stacked);
  for (const ReportSystem& system : data.systems) {
    const double share = share_of(system);
    const auto [low, high] = wilson_interval(system.correct, system.items);
    const double se =
        system.items > 0 ? std::sqrt(share * (1 - share) / static_cast<double>(system.items)) : 0;
    table.row({escape(system.label), grouped(system.correct), grouped(system.items), percent(share),
               fmt::format("{:.1f}", 100 * se), fmt::format("{:.1f} – {:.1f}", 100 * low, 100 * high),
               system.nothing_found ? grouped(*system.nothing_found) : "–",
               system.best ? percent(*system.best) : "–"},
              system.ours ? "ours" : "");
  }
  const std::string chance =
      data.chance ? fmt::format(" A guess would be right in {}: the dotted line.", percent(*data.chance))
                  : "";
  return section(
      "Result",
      "Exact match on the evaluation set. A dot is a system's accuracy, the bar its 95\u00A0% interval "
      "(Wilson). Which differences are beyond chance, the pairs below say: they compare item by item. "
      "\u201CIs the best\u201D is the probability that a system is the best of all "
      "(bootstrap over the items)." +
          chance,
      figure_of([&](double width) { return systems_chart(data.systems, data.chance, width); }) + table.str() +
          differences_part(data));
}

namespace {

Affixes affixes_of(const ReportData& data) {
  std::vector<std::string> names;
  if (data.bank) {
    for (const ReportAdapter& adapter : data.bank->adapters) {
      names.push_back(adapter.name);
    }
  }
  return common_affixes(names);
}

/// Says what is left out of the names in a picture.
std::string note_on_names(const Affixes& affixes) {
  if (affixes.empty()) {
    return "";
  }
  std::string parts;
  if (!affixes.front.empty()) {
    parts = "<code>" + escape(affixes.front) + "</code> in front";
  }
  if (!affixes.back.empty()) {
    parts += std::string(parts.empty() ? "" : " and ") + "<code>" + escape(affixes.back) + "</code> behind";
  }
  return "<p class=\"read\">In the picture the names stand without " + parts + ".</p>\n";
}

std::string with_error(const std::string& value, const std::optional<double>& error, bool as_percent) {
  if (!error) {
    return value;
  }
  return value + " ± " + (as_percent ? fmt::format("{:.1f}", 100 * *error) : figure(*error));
}

std::string sureness(const std::optional<double>& share) {
  if (!share) {
    return "–";
  }
  return fmt::format("{:.2f}", *share);
}

std::vector<std::string> adapter_row(const ReportAdapter& adapter) {
  const std::string badge = adapter.expert      ? " <span class=\"badge\">expert</span>"
                            : adapter.candidate ? " <span class=\"badge plain\">candidate</span>"
                                                : "";
  return {escape(adapter.name) + badge,
          with_error(figure(adapter.perplexity), adapter.perplexity_se, false),
          adapter.exp_mean_nll ? figure(*adapter.exp_mean_nll) : "–",
          with_error(percent(adapter.accuracy), adapter.accuracy_se, true),
          adapter.place ? fmt::format("{:g}", *adapter.place) : "–",
          sureness(adapter.perplexity_share),
          sureness(adapter.accuracy_share)};
}

std::string bank_table(const ReportBank& bank) {
  std::vector<ReportAdapter> rows = bank.adapters;
  std::stable_sort(rows.begin(), rows.end(), [](const ReportAdapter& a, const ReportAdapter& b) {
    return a.place.value_or(1e18) < b.place.value_or(1e18);
  });
  Table table({{"adapter"},
               {"perplexity"},
               {"exp of mean nll"},
               {"accuracy"},
               {"sum of places"},
               {"as good by perplexity"},
               {"by accuracy"}},
              Table::On::phones_stacked);
  if (bank.base) {
    table.row(adapter_row(*bank.base));
  }
  for (const ReportAdapter& adapter : rows) {
    table.row(adapter_row(adapter), adapter.expert ? "expert" : "");
  }
  return table.str();
}

/// What the bootstrap says about the picks, in one sentence.
std::string doubt(const ReportBank& bank) {
  std::int64_t by_perplexity = 0, by_accuracy = 0;
  bool known = false;
  for (const ReportAdapter& adapter : bank.adapters) {
    by_perplexity += adapter.perplexity_share.value_or(0) >= kDistinguishable;
    by_accuracy += adapter.accuracy_share.value_or(0) >= kDistinguishable;
    known = known || adapter.perplexity_share;
  }
  if (!known) {
    return "";
  }
  return fmt::format(
      "<p>With {} shots, {} of {} adapters cannot be told from the best by perplexity, {} by accuracy "
      "(paired bootstrap: "
      "in at least 5\u00A0% of the resampled sets of shots they do at least as well).</p>\n",
      bank.shots, by_perplexity, bank.adapters.size(), by_accuracy);
}

}  // namespace

std::string bank_section(const ReportData& data) {
  if (!data.bank || data.bank->adapters.empty()) {
    return missing("The bank on the shots", "score", data);
  }
  const ReportBank& bank = *data.bank;
  const Affixes affixes = affixes_of(data);
  ReportBank drawn = bank;
  for (ReportAdapter& adapter : drawn.adapters) {
    adapter.name = affixes.strip(adapter.name);
  }
  if (drawn.base) {
    drawn.base->name = "base";
  }
  std::string body = figure_of([&](double width) { return bank_chart(drawn, width); });
  body += key({{"round k-accent", "expert"},
               {"round k-ring", "candidate"},
               {"round k-quiet", "other adapter"},
               {"k-warm", "base"}});
  body += note_on_names(affixes) + doubt(bank);
  for (const std::string& note : bank.notes) {
    body += fmt::format("<p class=\"read\">Note: {}.</p>\n", escape(note));
  }
  return section("The bank on the shots",
                 "Each dot is an adapter. Up and to the left is better: it finds the shots' solutions "
                 "likely, and its own "
                 "answers are right.",
                 body + folded("All adapters as a table", bank_table(bank)));
}

std::string similarity_section(const ReportData& data) {
  if (!data.similarity || data.similarity->names.size() < 2) {
    return data.similarity ? "" : missing("How alike the candidates are", "experts", data);
  }
  const ReportSimilarity& similarity = *data.similarity;
  std::vector<std::string> titles;
  std::vector<Column> columns = {{"adapter"}};
  for (const std::string& name : similarity.names) {
    titles.push_back(escape(name));
  }
  for (const std::string& title : titles) {
    columns.push_back({title});
  }
  Table table(columns);
  const std::size_t n = similarity.names.size();
  for (std::size_t i = 0; i < n; ++i) {
    std::vector<std::string> cells = {titles[i]};
    for (std::size_t j = 0; j < n; ++j) {
      cells.push_back(fmt::format("{:.3f}", similarity.matrix[i * n + j]));
    }
    table.row(cells, similarity.expert[i] ? "expert" : "");
  }
  const Affixes affixes = affixes_of(data);
  ReportSimilarity drawn = similarity;
  for (std::string& name : drawn.names) {
    name = affixes.strip(name);
  }
  std::string body =
      figure_of([&](double width) { return similarity_chart(drawn, width); }) + note_on_names(affixes);
  if (std::any_of(similarity.matrix.begin(), similarity.matrix.end(), [](double x) { return x < 0; })) {
    body += key({{"k-accent", "change the base alike"}, {"k-warm", "change it in opposite ways"}});
  }
  if (similarity.mean_of_experts) {
    body +=
        fmt::format("<p>Mean similarity of the chosen experts: {:.3f}.</p>\n", *similarity.mean_of_experts);
  }
  return section(
      "How alike the candidates are",
      "A darker cell is a pair of adapters that change the base more alike; outlined cells are pairs of "
      "chosen experts, and pale ones there mean that the experts differ.",
      body + folded("The matrix as a table", table.str()));
}

}  // namespace rocket::report
