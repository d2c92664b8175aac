//! Calls of providers and budgets: tables and views only.

use pgrx::extension_sql_file;

extension_sql_file!("../../sql/accounting.sql", name = "accounting", requires = ["providers", "owners"]);
