//! What calls to providers took and may take: tables and views alone.

use pgrx::extension_sql_file;

extension_sql_file!("../../sql/accounting.sql", name = "accounting", requires = ["providers"]);
