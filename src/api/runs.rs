//! The log of agents as SQL sees it.

use pgrx::extension_sql_file;

extension_sql_file!("../../sql/runs.sql", name = "runs", requires = ["accounting"]);
