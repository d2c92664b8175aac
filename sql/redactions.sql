-- What is taken out of the log of agents before it is stored.

-- As they come with the extension: what is a secret by its very form.
CREATE TABLE rag._redaction_defaults (
  name text PRIMARY KEY,
  pattern text NOT NULL,
  replacement text NOT NULL DEFAULT '[redacted]',
  enabled boolean NOT NULL DEFAULT true,
  of_key boolean NOT NULL DEFAULT false
);

-- Secrets are found after letters and _ as well (`key_AKIA…`). Where a secret begins with what ends common words (`risk-…`), only a
-- boundary or _ may stand before it.
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

-- A dump has what the administrator added or changed, which comes in the place of what is here then.
SELECT pg_catalog.pg_extension_config_dump('rag.redactions',
  'WHERE (name, pattern, replacement, enabled, of_key) NOT IN (SELECT d.name, d.pattern, d.replacement, d.enabled, d.of_key FROM rag._redaction_defaults d)');

COMMENT ON TABLE rag._redaction_defaults IS 'internal: rag.redactions as it comes with the extension';
COMMENT ON FUNCTION rag._redactions_changed() IS
'internal: checks the pattern of a row of rag.redactions, and tells all sessions of a change';
COMMENT ON TABLE rag.redactions IS
'what is replaced in the log of agents before it is stored: in the strings of input, output and attributes, their keys too, in numbers, in names of agents, models and steps, and in errors. Who owns the extension''s tables may change it';
COMMENT ON COLUMN rag.redactions.name IS 'what it is called; they are used in the order of their names';
COMMENT ON COLUMN rag.redactions.pattern IS
'regular expression of the Rust crate regex, whose time is linear in the text: no look-around, no back-references';
COMMENT ON COLUMN rag.redactions.replacement IS 'what stands in its place; ${1} is what the first group has matched';
COMMENT ON COLUMN rag.redactions.enabled IS 'false: nothing is replaced';
COMMENT ON COLUMN rag.redactions.of_key IS 'true: the pattern is for the names of members of JSON objects, and the whole value under such a name is replaced';
