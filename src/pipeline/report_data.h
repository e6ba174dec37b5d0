// What a run directory holds, as the report shows it.
#pragma once

#include "evaluation/report.h"
#include "pipeline/session.h"

namespace rocket {

/// Parts whose jobs have not run stay empty.
ReportData gather_report(const Session& session);

}  // namespace rocket
