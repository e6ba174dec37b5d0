#include <algorithm>
#include <cmath>

#include "evaluation/report_charts.h"
#include "evaluation/report_html.h"
#include "evaluation/report_sections.h"
#include "evaluation/report_svg.h"

namespace rocket::report {
namespace {

// Enough to see a trend in a table; the rest is in training.h5.
constexpr std::size_t kTableRows = 24;
constexpr std::size_t kSourceRows = 12;

std::string similarity_note(const std::optional<double>& similarity) {
  return similarity ? fmt::format(", similarity to the shots {:.3f}", *similarity) : "";
}

/// Records may be pages long.
std::string shortened(const std::string& text) {
  constexpr std::size_t kCharacters = 600;
  return escape(clipped(text, text_width(std::string(kCharacters, 'x'))));
}

std::string examples_of(const ReportSelection& selection) {
  std::string html;
  for (const ReportPair& pair : selection.examples) {
    html += fmt::format(
        "<div class=\"pair\"><div><b>kept{}</b>{}</div><div "
        "class=\"gone\"><b>dropped{}{}</b>{}</div></div>\n",
        similarity_note(pair.kept_similarity), shortened(pair.kept), similarity_note(pair.dropped_similarity),
        pair.cosine ? fmt::format("; cosine to the one at its side {:.3f}", *pair.cosine) : "",
        shortened(pair.dropped));
  }
  return html.empty() ? "" : "<h3>Some that were dropped, beside the ones that displaced them</h3>\n" + html;
}

std::string plane_of(const ReportSelection& selection) {
  if (!selection.plane) {
    return "";
  }
  const ReportPlane& plane = *selection.plane;
  std::string html = "<h3>Shots and records in two dimensions</h3>\n" +
                     figure_of([&](double width) { return plane_chart(plane, width); }) +
                     key({{"round k-ink", "shot"}, {"round k-accent", "kept"}, {"round k-warm", "dropped"}});
  if (plane.left_out > 0) {
    html += fmt::format("<p class=\"read\">{} more records are not drawn.</p>\n", grouped(plane.left_out));
  }
  return html;
}

/// The files that most of the kept records come from.
std::string sources_of(const ReportSelection& selection) {
  if (selection.sources.empty()) {
    return "";
  }
  std::int64_t kept = 0;
  for (const ReportSource& source : selection.sources) {
    kept += source.kept;
  }
  const auto share = [&](std::int64_t n) {
    return kept > 0 ? percent(static_cast<double>(n) / static_cast<double>(kept)) : "–";
  };
  Table table({{"file"}, {"retrieved"}, {"kept"}, {"share of the kept"}}, Table::On::phones_stacked);
  ReportSource rest;
  for (std::size_t i = 0; i < selection.sources.size(); ++i) {
    const ReportSource& source = selection.sources[i];
    if (i < kSourceRows) {
      table.row({"<code>" + escape(source.file) + "</code>", grouped(source.retrieved), grouped(source.kept),
                 share(source.kept)});
    }
    rest.retrieved += i < kSourceRows ? 0 : source.retrieved;
    rest.kept += i < kSourceRows ? 0 : source.kept;
  }
  if (selection.sources.size() > kSourceRows) {
    table.row({fmt::format("{} other files", selection.sources.size() - kSourceRows), grouped(rest.retrieved),
               grouped(rest.kept), share(rest.kept)});
  }
  return "<h3>Where they come from</h3>\n" + table.str();
}

std::string counts_of(const ReportSelection& selection) {
  const auto retrieved = static_cast<std::int64_t>(selection.kept.size());
  const auto kept = static_cast<std::int64_t>(std::count(selection.kept.begin(), selection.kept.end(), 1));
  Table table({{"records"}, {"count"}});
  table.row({"in the corpus", grouped(selection.records)});
  if (selection.skipped > 0) {
    table.row({"broken ones left out of it", grouped(selection.skipped)});
  }
  table.row({"equal to a shot or an evaluation item, removed first",
             grouped(selection.decontaminated - selection.by_ngram)});
  if (selection.by_ngram > 0) {
    table.row({"sharing a run of words with one, removed first", grouped(selection.by_ngram)});
  }
  table.row({"retrieved", grouped(retrieved)});
  table.row({"kept", grouped(kept)});
  table.row({fmt::format("dropped as near duplicates (cosine above {:g})", selection.threshold),
             grouped(retrieved - kept)});
  if (!selection.similarity.empty()) {
    table.row({"similarity of the first retrieved", fmt::format("{:.3f}", selection.similarity.front())});
    table.row({"similarity of the last retrieved", fmt::format("{:.3f}", selection.similarity.back())});
  }
  return table.str();
}

std::string training_table(const std::vector<ReportStep>& steps) {
  Table table({{"step"}, {"epoch"}, {"loss"}, {"learning rate"}, {"gradient norm"}});
  const std::size_t every = (steps.size() + kTableRows - 1) / kTableRows;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (i % every == 0 || i + 1 == steps.size()) {
      const ReportStep& s = steps[i];
      table.row({grouped(s.step), grouped(s.epoch), figure(s.loss), fmt::format("{:.2e}", s.learning_rate),
                 figure(s.gradient_norm)});
    }
  }
  return table.str();
}

std::string load_table(const ReportLoad& load) {
  std::vector<Column> columns = {{"module"}};
  for (const std::string& expert : load.experts) {
    columns.push_back({escape(expert)});
  }
  Table table(columns);
  for (std::size_t w = 0; w < load.modules.size(); ++w) {
    std::vector<std::string> cells = {escape(load.modules[w])};
    for (std::size_t e = 0; e < load.experts.size(); ++e) {
      cells.push_back(percent(load.share[w * load.experts.size() + e]));
    }
    table.row(cells);
  }
  return table.str();
}

}  // namespace

std::string records_section(const ReportData& data) {
  if (!data.selection) {
    return missing("The records that were chosen", "select", data);
  }
  const ReportSelection& selection = *data.selection;
  const bool cut = is_cut_by_similarity(selection);
  std::string body;
  if (!selection.curve.empty()) {
    body += figure_of([&](double width) { return corpus_chart(selection, width); });
  }
  if (!selection.curve.empty() && cut) {
    body += key(
        {{"k-soft", "retrieved"}, {"round k-warm", "dropped: too near one that was kept (some of them)"}});
  }
  if (!selection.kept.empty()) {
    body += figure_of([&](double width) { return walk_chart(selection, width); });
    body += key({{"k-accent", "kept"}, {"k-warm faint", "dropped"}});
  }
  const char* what =
      cut ? "the shaded part was retrieved, and the walk through it dropped what is too near a better record"
          : "records from all along it were taken";
  return section(
      "The records that were chosen",
      fmt::format("The curve is the corpus by similarity to the shots, without the records that were removed "
                  "first; {} (policy "
                  "{}).",
                  what, escape(selection.policy)),
      body + counts_of(selection) + sources_of(selection) + plane_of(selection) + examples_of(selection));
}

std::string training_section(const ReportData& data) {
  if (data.training.empty()) {
    return missing("Training", "finetune", data);
  }
  const auto chart = [&](Curve curve, double height) {
    return figure_of(
        [&, curve, height](double width) { return training_chart(data.training, curve, width, height); });
  };
  return section(
      "Training",
      "The pale line is the loss of each update, the strong one its running mean, in which each update "
      "weighs as "
      "many as its target tokens: an epoch's last one may hold few records, and jump. Dotted lines part the "
      "epochs, where a small drop is the usual sign of records seen before.",
      chart(Curve::loss, 260) + chart(Curve::gradient_norm, 150) + chart(Curve::learning_rate, 140) +
          folded("Some steps as a table", training_table(data.training)));
}

std::string load_section(const ReportData& data) {
  if (!data.load || data.load->modules.empty() || data.load->experts.empty()) {
    return missing("Who does the work", "finetune", data);
  }
  const ReportLoad& load = *data.load;
  std::vector<std::pair<std::string, std::string>> entries;
  for (std::size_t e = 0; e < load.experts.size(); ++e) {
    entries.emplace_back(colour_class(e), load.experts[e]);
  }
  return section(
      "Who does the work",
      "Each column is a layer; the height of a colour is the share of the router's choices that went to that "
      "expert in the last epoch. A column of one colour means that the router uses one expert only.",
      key(entries) + figure_of([&](double width) { return load_chart(load, width); }) +
          folded("All modules as a table", load_table(load)));
}

std::string run_section(const ReportData& data) {
  if (data.jobs.empty() && data.settings.empty()) {
    return "";
  }
  Table jobs({{"job"}, {"state", true}, {"time"}});
  for (const ReportJob& job : data.jobs) {
    jobs.row({escape(job.name), escape(job.state), job.seconds ? duration(*job.seconds) : "–"});
  }
  Table settings({{"setting"}, {"value", true}});
  for (const auto& [name, value] : data.settings) {
    settings.row({escape(name), "<code>" + escape(value) + "</code>"});
  }
  return section("The run",
                 "Which jobs are done and how long they took, and the settings that shape the result.",
                 (data.jobs.empty() ? "" : jobs.str()) +
                     (data.settings.empty() ? "" : folded("Settings", settings.str())));
}

}  // namespace rocket::report
