# The same against nixpkgs' own lib: FLEET_NIXPKGS_LIB is the path of one.
{ settings, module, lib }:
let
  real = import lib;
  any = real.mkOption { type = real.types.anything; default = { }; };
  made = real.evalModules {
    modules = [
      module
      {
        options = { networking = any; nix = any; systemd = any; };
        config = {
          networking.hostName = "from-networking";
          nix.package = "nix";
          systemd.package = "systemd";
          services.homelab-deploy.listener = builtins.fromJSON settings;
          _module.args.pkgs = { homelab-deploy = { type = "derivation"; outPath = "/pkgs/homelab-deploy"; }; git = "git"; openssh = "openssh"; nixos-rebuild = "nixos-rebuild"; coreutils = "coreutils"; };
        };
      }
    ];
  };
in
made.config.systemd.services.homelab-deploy-listener.serviceConfig.ExecStart
