-- Patterns that are removed from the log of agents before it is stored.

-- The patterns that come with the extension: secrets that are recognised by their form.
CREATE TABLE rag._redaction_defaults (
  name text PRIMARY KEY,
  pattern text NOT NULL,
  replacement text NOT NULL DEFAULT '[redacted]',
  enabled boolean NOT NULL DEFAULT true,
  of_key boolean NOT NULL DEFAULT false
);

-- Secrets are also found after letters and _ (`key_AKIA…`). A secret whose beginning is the end of common words (`risk-…`) is found
-- only after a word boundary or _.
INSERT INTO rag._redaction_defaults (name, pattern) VALUES
  ('api key sk-', '(?-u:\b|_)sk-(?:(?:proj|svcacct|admin|ant|or)-[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{32,})'),
  ('aws access key', '(?:AKIA|ASIA)[0-9A-Z]{16}(?-u:\b|_)'),
  ('github token', '(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})'),
  ('gitlab token', 'gl(?:pat|ptt|rt|dt|soat|ft|agent|imt|cbt)-[A-Za-z0-9_-]{20,}'),
  ('google api key', 'AIza[0-9A-Za-z_-]{35}'),
  ('groq api key', 'gsk_[A-Za-z0-9]{40,}'),
  ('hugging face token', '(?-u:\b|_)hf_[A-Za-z0-9]{30,}'),
  ('json web token', 'eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}'),
  ('npm token', 'npm_[A-Za-z0-9]{36,}'),
  ('perplexity api key', 'pplx-[A-Za-z0-9]{40,}'),
  ('private key', '-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\z)'),
  ('pypi token', 'pypi-[A-Za-z0-9_-]{50,}'),
  ('replicate token', '(?-u:\b|_)r8_[A-Za-z0-9]{30,}'),
  ('sendgrid api key', '(?-u:\b|_)SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}'),
  ('slack token', 'xox[abeoprs]-[A-Za-z0-9-]{10,}'),
  ('stripe key', '(?:(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{24,})'),
  ('xai api key', '(?-u:\b|_)xai-[A-Za-z0-9]{40,}');
INSERT INTO rag._redaction_defaults (name, pattern, replacement) VALUES
  ('basic credentials', '((?i:basic)\s+)[A-Za-z0-9+/]{6,}={1,2}', '${1}[redacted]'),
  ('bearer token', '((?i:bearer)\s+)[A-Za-z0-9._~+/-]{24,}=*', '${1}[redacted]'),
  ('key in a header', '((?i:x-api-key|api-key|x-auth-token)["'']?\s*[:=]\s*["'']?)[^\s"'',;]{8,}', '${1}[redacted]'),
  ('password in a url', '(://[^\s/:@"]{0,100}:)[^\s/"]+@', '${1}[redacted]@');
INSERT INTO rag._redaction_defaults (name, pattern, of_key) VALUES
  ('secret by its name',
   '(?i)^(?:.*[_. -])?(?:passwords?|passwd|passphrase|pwd|secrets?|api[_-]?keys?|authorization|credentials?|private[_-]?key|access[_-]?key|secret[_-]?key|cookie|token|(?:access|refresh|auth|id|bearer|session|api|csrf)[_-]?token)$',
   true);

CREATE TABLE rag.redactions (
  name text PRIMARY KEY,
  pattern text NOT NULL,
  replacement text NOT NULL DEFAULT '[redacted]',
  enabled boolean NOT NULL DEFAULT true,
  of_key boolean NOT NULL DEFAULT false
);

INSERT INTO rag.redactions SELECT name, pattern, replacement, enabled, of_key FROM rag._redaction_defaults;

CREATE FUNCTION rag._redactions_changed() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'ragstone_redactions_changed';

CREATE TRIGGER check_pattern BEFORE INSERT OR UPDATE ON rag.redactions
FOR EACH ROW EXECUTE FUNCTION rag._redactions_changed();
CREATE TRIGGER tell_sessions AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON rag.redactions
FOR EACH STATEMENT EXECUTE FUNCTION rag._redactions_changed();

-- A dump has the rows that the administrator added or changed; at a restore they replace the rows of the same name.
SELECT pg_catalog.pg_extension_config_dump('rag.redactions',
  'WHERE (name, pattern, replacement, enabled, of_key) NOT IN (SELECT d.name, d.pattern, d.replacement, d.enabled, d.of_key FROM rag._redaction_defaults d)');

COMMENT ON TABLE rag._redaction_defaults IS 'internal: rows of rag.redactions that come with the extension';
COMMENT ON FUNCTION rag._redactions_changed() IS
'internal: checks the pattern of a row of rag.redactions, and notifies all sessions of a change';
COMMENT ON TABLE rag.redactions IS
'patterns that are replaced in the log of agents before it is stored';
COMMENT ON COLUMN rag.redactions.name IS 'name of the pattern; patterns are applied in the order of their names';
COMMENT ON COLUMN rag.redactions.pattern IS
'regular expression of the Rust crate regex, whose time is linear in the text: no look-around, no back-references';
COMMENT ON COLUMN rag.redactions.replacement IS 'text that replaces a match; ${1} is the match of the first group';
COMMENT ON COLUMN rag.redactions.enabled IS 'false: the pattern is not applied';
COMMENT ON COLUMN rag.redactions.of_key IS 'true: the pattern is matched with names of members of JSON objects, and the whole value of a matching name is replaced';
