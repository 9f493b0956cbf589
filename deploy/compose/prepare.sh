#!/bin/sh
# Makes the folder `secrets` beside it, or the one that is named: an authority, a certificate for each NATS server, passwords. Once:
# what is there is not touched. As root each file belongs to the user that reads it in its container. Without root all in the
# folder is readable for everybody who gets into it, which is you alone; orchestrators then warn of the nodes' password.
# Needs openssl.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/secrets}
if [ -e "$out" ]; then
    echo "$out is there already: remove it to begin anew, with all volumes (docker compose down --volumes)" >&2
    exit 1
fi
part=$out.part
umask 077
rm -rf "$part"
mkdir "$part"
cd "$part"

# A letter in front: nats-server would read digits as a number.
password() { printf 'p%s' "$(openssl rand -hex 20)"; }

# hidden <password>: as Redis keeps it.
hidden() { printf '#%s' "$(printf '%s' "$1" | openssl dgst -sha256 -r | cut -d ' ' -f 1)"; }

# readable <uid> <file>…
readable() {
    uid=$1
    shift
    if [ "$(id -u)" -eq 0 ]; then
        chmod 400 "$@"
        chown "$uid:$uid" "$@"
    else
        chmod 444 "$@"
    fi
}

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj '/CN=Vedette compose authority' \
    -keyout authority.key -out ca.pem 2>openssl.log
for n in 1 2 3; do
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=nats-$n" \
        -keyout "nats-$n.key" -out "nats-$n.csr" 2>>openssl.log
    printf 'subjectAltName=DNS:nats-%s,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n' "$n" >extensions
    openssl x509 -req -in "nats-$n.csr" -CA ca.pem -CAkey authority.key -CAcreateserial -days 3650 \
        -extfile extensions -out "nats-$n.pem" 2>>openssl.log
done
rm -f ./*.csr ./*.srl extensions openssl.log

for user in prober voter orchestrator notifier gateway operator application; do
    secret=$(password)
    printf 'VEDETTE_%s_PASSWORD=%s\n' "$(printf '%s' "$user" | tr '[:lower:]' '[:upper:]')" "$secret" >>nats.env
    [ "$user" = application ] || printf '[nats]\nuser = "%s"\npassword = "%s"\n' "$user" "$secret" >"$user.toml"
done
# Whoever reaches a gateway may ask; to change anything takes the password.
password >gateway-admin
printf '\n[clients.users.default]\nrights = "read"\n\n[clients.users.admin]\nrights = "admin"\npassword = "%s"\n' \
    "$(cat gateway-admin)" >>gateway.toml

for user in vedette replica application; do
    password >"redis-$user"
done
{
    echo 'user default off'
    sed "s/>CHANGE-ME/$(hidden "$(cat redis-vedette)")/" "$here/../redis/users.acl"
    echo "user replica on $(hidden "$(cat redis-replica)") +psync +replconf +ping"
    echo "user application on $(hidden "$(cat redis-application)") ~* &* +@all -@admin -@dangerous"
} >users.acl
password >grafana

readable 65532 ca.pem nats-?.pem nats-?.key prober.toml voter.toml orchestrator.toml notifier.toml gateway.toml operator.toml \
    redis-vedette
readable 999 users.acl redis-replica
readable 472 grafana
chmod 444 ca.pem
mv "$part" "$out"
