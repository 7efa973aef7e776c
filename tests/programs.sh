#!/bin/sh
# The programs that the tests drive: says which are missing and installs just those.
# Nothing is installed, and nothing is asked for, where all of them are there.
set -eu

missing=''
for program in zsh fish vim less top ssh ssh-keygen sshd curl jq; do
    command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] || missing="$missing $program"
done
[ -n "$missing" ] || exit 0

package_of() {
    case "$2:$1" in
        apt-get:top) echo procps ;;
        apt-get:sshd) echo openssh-server ;;
        apt-get:ssh | apt-get:ssh-keygen) echo openssh-client ;;
        brew:sshd | brew:ssh | brew:ssh-keygen) echo openssh ;;
        *) echo "$1" ;;
    esac
}

packages_for() {
    for program in $missing; do package_of "$program" "$1"; done | sort -u
}

tell() {
    for program in $missing; do
        echo "tests: $program is missing; install the package $(package_of "$program" apt-get)" >&2
    done
    exit 1
}

apt() {
    # shellcheck disable=SC2086  # no words is what root needs
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@" </dev/null >/dev/null
}

install_with_apt() {
    # shellcheck disable=SC2046  # one word per package
    apt install -y --no-install-recommends $(packages_for apt-get)
}

# Debian starts the service of a package as soon as that is installed, unless this file says no.
policy=/usr/sbin/policy-rc.d

forbid_services() {
    [ ! -e "$policy" ] || return 0
    trap '$as_root rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
}

# A policy of the machine's own may have allowed it, and the next boot would start it.
end_sshd() {
    case "$missing " in *' sshd '*) ;; *) return 0 ;; esac
    if [ -d /run/systemd/system ]; then
        $as_root systemctl --quiet disable --now ssh.service ssh.socket || true
    elif [ -x /etc/init.d/ssh ]; then
        $as_root /etc/init.d/ssh stop || true
    fi
} >/dev/null 2>&1

if command -v apt-get >/dev/null; then
    if [ "$(id -u)" = 0 ]; then
        as_root=''
    elif sudo -n true 2>/dev/null; then
        as_root='sudo -n'
    else
        tell
    fi
    echo "tests: installing" $(packages_for apt-get)
    forbid_services
    # The lists of a fresh machine are empty, those of an old one name what is gone.
    install_with_apt 2>/dev/null || { apt update && install_with_apt; } ||
        { apt update && install_with_apt; } || tell
    end_sshd
elif command -v brew >/dev/null; then
    echo "tests: installing" $(packages_for brew)
    # shellcheck disable=SC2046
    brew install --quiet $(packages_for brew) || brew install --quiet $(packages_for brew) || tell
else
    tell
fi
