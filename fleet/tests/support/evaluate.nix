# nix-instantiate --eval --strict --json evaluate.nix --argstr settings JSON: what the module makes of the settings.
{ settings, module }:
let
  own = import ./lib.nix;
  made = own.evaluate {
    module = module;
    settings = builtins.fromJSON settings;
    config = { networking.hostName = "from-networking"; nix.package = "nix"; systemd.package = "systemd"; };
    pkgs = { homelab-deploy = "/pkgs/homelab-deploy"; git = "git"; openssh = "openssh"; nixos-rebuild = "nixos-rebuild"; coreutils = "coreutils"; };
  };
  plain = option:
    if own.isOption option then { type = option.type.name; } // (if option ? default then { default = option.default; } else { })
    else builtins.mapAttrs (_: plain) option;
in
{
  inherit (made) values config;
  options = plain made.options;
}
