// The pictures of the report, each at a width of its own so that phones get readable labels.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "evaluation/report.h"

namespace rocket::report {

/// Accuracies with 95 % intervals, one row a system; a line at the accuracy of a guess where it is known.
std::string systems_chart(const std::vector<ReportSystem>& systems, std::optional<double> chance,
                          double width);

/// Those that a picture has room for: all, or where there are more than twelve those of the run's own expert.
std::vector<ReportDifference> drawn_differences(const std::vector<ReportDifference>& all);

/// Differences with 95 % intervals, one row a pair; dots of those that may be chance are open.
std::string differences_chart(const std::vector<ReportDifference>& pairs, double width);

/// Perplexity against accuracy of the bank; adapters far beyond the others stand in a margin at the right.
std::string bank_chart(const ReportBank& bank, double width);

/// Similarities of the candidates.
std::string similarity_chart(const ReportSimilarity& similarity, double width);

/// Whether the policy retrieves the first places by similarity, not places here and there.
bool is_cut_by_similarity(const ReportSelection& selection);

/// Similarity of the corpus by place; where that decided, what was retrieved and whom the walk dropped.
std::string corpus_chart(const ReportSelection& selection, double width);

/// Kept and dropped along the walk.
std::string walk_chart(const ReportSelection& selection, double width);

/// Shots, kept and dropped records in their plane.
std::string plane_chart(const ReportPlane& plane, double width);

enum class Curve { loss, learning_rate, gradient_norm };
/// One figure of the training by step; more steps than pixels are averaged.
std::string training_chart(const std::vector<ReportStep>& steps, Curve curve, double width, double height);

/// Share of the choices per expert, one column a layer, one panel a kind of module.
std::string load_chart(const ReportLoad& load, double width);

/// How the colours of the load are called, in the order of the experts: "c0" ... "c7", then again.
std::string colour_class(std::size_t index);

}  // namespace rocket::report
