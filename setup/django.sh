#!/usr/bin/env bash
# Starts the Django application of examples/django on the demo's server, until Ctrl-C. The demo must have been run.
# PORT sets another port than 8000; RAGSTONE_MODEL=server/model sets a provider's model that answers in conversations.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

state=$root/.ragstone
[[ -e $state/cluster ]] || die "there is no demo" "make demo"
exports=$(RAGSTONE_DATABASE=demo "$here/cluster.sh" start "$state")
eval "$exports"
python=$("$here/venv.sh" django-python "$root/examples/django/requirements.txt")
manage() { "$python" "$root/examples/django/manage.py" "$@"; }

# usage: secret name; prints a secret from a file that only this user can read, and creates it if it is missing
secret() {
  local file=$state/$1
  [[ -s $file ]] || (umask 077 && "$python" -c 'import secrets; print(secrets.token_urlsafe(40))' >"$file")
  cat "$file"
}

# Signs browser sessions, which must survive a restart.
DJANGO_SECRET_KEY=$(secret django-key)
DJANGO_SUPERUSER_PASSWORD=$(secret django-password)
export DJANGO_SECRET_KEY DJANGO_SUPERUSER_PASSWORD DJANGO_DEBUG=1
manage migrate --verbosity 0
manage shell --verbosity 0 --command "
from django.contrib.auth.models import User
User.objects.filter(username='admin').exists() or User.objects.create_superuser('admin', password='$DJANGO_SUPERUSER_PASSWORD')"
cat <<END
The application is at http://127.0.0.1:${PORT:-8000}/ until Ctrl-C. To upload, and for its admin, log in as

  admin  $DJANGO_SUPERUSER_PASSWORD

The database goes on; make stop ends it.
END
exec "$python" "$root/examples/django/manage.py" runserver --noreload "127.0.0.1:${PORT:-8000}"
