# PG=16, 17 or 18 chooses a PostgreSQL, of which a copy is downloaded, and PG_CONFIG=/path/to/pg_config one of yours:
# Debian's 15 otherwise, or the first in PATH.

.DEFAULT_GOAL := help
.PHONY: help demo django stop test install installcheck bench docs lint sbom clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: ## install everything and search the PostgreSQL manual
	@setup/demo.sh

django: ## start the Django application on the demo's server
	@setup/django.sh

stop: ## stop the demo's server
	@setup/stop.sh

test: ## run what continuous integration runs
	@.ci/run

install: ## build, and install into PostgreSQL (DESTDIR too)
	@setup/install.sh

installcheck: ## run the regression suite against what is installed
	@setup/installcheck.sh

bench: ## run the benches against what is installed
	@setup/bench.sh

docs: ## build the documentation as a site, and check it against what is installed
	@setup/docs.sh

lint: ## check formatting, dependencies, clippy and the scripts
	@setup/lint.sh

sbom: ## list what is installed and from where, as CycloneDX
	@setup/sbom.sh

clean: ## remove the demo's server and what was built
	@setup/clean.sh
