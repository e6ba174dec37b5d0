#include "pipeline/report_selection.h"

#include <algorithm>
#include <map>

#include "evaluation/principal_plane.h"
#include "pipeline/corpus_data.h"
#include "pipeline/proof.h"

namespace rocket {

namespace {

constexpr std::size_t example_pairs = 5;
constexpr std::size_t drawn_records = 3000;  // a picture of more is a blot, and its file large

/// select.h5, one entry a retrieved record.
struct Walk {
  std::vector<std::int64_t> record, dropped_by;
  std::vector<float> similarity;
  std::vector<std::uint8_t> kept;
};

Walk read_walk(const H5Reader& file) {
  Walk walk{file.read<std::int64_t>("retrieved"), {}, {}, {}};
  const Shape shape = {static_cast<std::int64_t>(walk.record.size())};
  walk.dropped_by = file.read<std::int64_t>("dropped_by", shape);
  walk.similarity = file.read<float>("similarity", shape);
  walk.kept = file.read<std::uint8_t>("kept", shape);
  return walk;
}

std::string one_text(const Record& record) {
  std::string text = record.instruction;
  for (const std::string& more : {record.input, record.output}) {
    if (!more.empty()) text += "\n" + more;
  }
  return text;
}

float cosine(const std::vector<float>& a, const std::vector<float>& b) {
  float sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return std::min(sum, 1.0f);
}

/// Places in the walk of the first few records that were dropped.
std::vector<std::size_t> first_dropped(const Walk& walk) {
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < walk.record.size() && places.size() < example_pairs; ++i) {
    if (walk.dropped_by[i] >= 0) places.push_back(i);
  }
  return places;
}

/// What the corpus' files say of the retrieved records; read in one pass, from front to end.
struct Origins {
  std::map<std::string, ReportSource> sources;
  std::map<std::int64_t, std::string> texts;  // of the records of the examples
};

Origins read_origins(const Session& session, const Walk& walk) {
  Origins origins;
  for (const std::size_t i : first_dropped(walk))
    origins.texts[walk.record[i]] = origins.texts[walk.dropped_by[i]] = "";
  std::map<std::int64_t, bool> kept;
  for (std::size_t i = 0; i < walk.record.size(); ++i) kept[walk.record[i]] = walk.kept[i] != 0;
  CorpusReader corpus = open_corpus(session.config);
  for (const auto& [index, is_kept] : kept) {
    const auto found = corpus.block(index, 1);
    if (found.empty()) break;  // a corpus that became shorter
    ReportSource& source = origins.sources[found.front().file];
    ++source.retrieved;
    source.kept += is_kept;
    if (const auto text = origins.texts.find(index); text != origins.texts.end())
      text->second = one_text(found.front());
  }
  return origins;
}

std::vector<ReportSource> most_kept_first(const std::map<std::string, ReportSource>& by_file) {
  std::vector<ReportSource> sources;
  for (const auto& [file, source] : by_file) sources.push_back({file, source.retrieved, source.kept});
  std::stable_sort(sources.begin(), sources.end(),
                   [](const ReportSource& a, const ReportSource& b) { return a.kept > b.kept; });
  return sources;
}

/// Dropped records beside the records that displaced them.
std::vector<ReportPair> pairs_of(const Walk& walk, const Origins& origins, const H5Reader& embed) {
  const auto row = [&](std::int64_t record) { return embed.read_rows<float>("embedding", record, 1); };
  std::vector<ReportPair> pairs;
  for (const std::size_t i : first_dropped(walk)) {
    const std::int64_t by = walk.dropped_by[i];
    const auto place =
        static_cast<std::size_t>(std::find(walk.record.begin(), walk.record.end(), by) - walk.record.begin());
    pairs.push_back(
        {origins.texts.at(by), origins.texts.at(walk.record[i]), cosine(row(by), row(walk.record[i])),
         place < walk.record.size() ? std::optional<double>(walk.similarity[place]) : std::nullopt,
         walk.similarity[i]});
  }
  return pairs;
}

/// Every n-th retrieved record, so that at most drawn_records are drawn.
std::optional<ReportPlane> plane_of(const Walk& walk, const H5Reader& embed) {
  const std::int64_t dimension = embed.shape("embedding").at(1);
  std::vector<float> rows = embed.read<float>("shot_embedding");
  const std::size_t shots = rows.size() / static_cast<std::size_t>(dimension);
  const std::size_t every =
      std::max<std::size_t>(1, (walk.record.size() + drawn_records - 1) / drawn_records);
  std::vector<bool> kept;
  for (std::size_t i = 0; i < walk.record.size(); i += every) {
    const auto row = embed.read_rows<float>("embedding", walk.record[i], 1);
    rows.insert(rows.end(), row.begin(), row.end());
    kept.push_back(walk.kept[i] != 0);
  }
  if (kept.empty()) return std::nullopt;
  const PrincipalPlane plane = principal_plane(rows, dimension);
  ReportPlane drawn;
  drawn.share = plane.share;
  drawn.left_out = static_cast<std::int64_t>(walk.record.size() - kept.size());
  for (std::size_t i = 0; i < plane.points.size(); ++i)
    (i < shots ? drawn.shots : kept[i - shots] ? drawn.kept : drawn.dropped).push_back(plane.points[i]);
  return drawn;
}

/// What is left to retrieve from. `removed`: corpus indices, ascending.
std::vector<float> without(std::vector<float> similarity, const std::vector<std::int64_t>& removed) {
  std::size_t next = 0, kept = 0;
  for (std::size_t i = 0; i < similarity.size(); ++i) {
    if (next < removed.size() && removed[next] == static_cast<std::int64_t>(i)) {
      ++next;
      continue;
    }
    similarity[kept++] = similarity[i];
  }
  similarity.resize(kept);
  return similarity;
}

}  // namespace

ReportSelection report_selection(const Session& session) {
  const H5Reader select = open_result(session.run, "select.h5"), embed = open_result(session.run, "embed.h5");
  const Walk walk = read_walk(select);
  check_embeddings(session.run, embed, walk.record);
  const Origins origins = read_origins(session, walk);
  ReportSelection part;
  const auto removed = select.read<std::int64_t>("decontaminated");
  auto corpus = embed.read<float>("similarity");
  part.records = static_cast<std::int64_t>(corpus.size());
  part.curve = sample_curve(without(std::move(corpus), removed));
  part.skipped = skipped_records(session.run);
  part.decontaminated = static_cast<std::int64_t>(removed.size());
  if (select.has("decontaminated_ngram")) part.by_ngram = select.shape("decontaminated_ngram").at(0);
  part.policy = session.config.selection.policy;
  part.threshold = session.config.selection.threshold;
  part.similarity = walk.similarity;
  part.kept = walk.kept;
  part.examples = pairs_of(walk, origins, embed);
  part.sources = most_kept_first(origins.sources);
  part.plane = plane_of(walk, embed);
  return part;
}

}  // namespace rocket
