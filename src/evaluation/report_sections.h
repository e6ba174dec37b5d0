// The sections of the report page, each a piece of HTML.
#pragma once

#include <string>

#include "evaluation/report.h"

namespace rocket::report {

std::string header_part(const ReportData& data);
std::string result_section(const ReportData& data);
std::string bank_section(const ReportData& data);
std::string similarity_section(const ReportData& data);
std::string records_section(const ReportData& data);
std::string training_section(const ReportData& data);
std::string load_section(const ReportData& data);
std::string run_section(const ReportData& data);

}  // namespace rocket::report
