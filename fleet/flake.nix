{
  description = "Deploys every host of a homelab over NATS";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" ];
      forAll = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
    in
    {
      packages = forAll (pkgs: rec {
        homelab-deploy = pkgs.rustPlatform.buildRustPackage {
          pname = "homelab-deploy";
          version = (builtins.fromTOML (builtins.readFile ./Cargo.toml)).package.version;
          src = ./.;
          cargoLock.lockFile = ./Cargo.lock;
          # They need a NATS server, root and loopback: tests/run.sh runs them.
          doCheck = false;
          postInstall = "install -Dm644 man/homelab-deploy.8 -t $out/share/man/man8";
          meta.mainProgram = "homelab-deploy";
        };
        default = homelab-deploy;
      });

      apps = forAll (pkgs: {
        default = {
          type = "app";
          program = "${self.packages.${pkgs.system}.default}/bin/homelab-deploy";
        };
      });

      nixosModules.default = { pkgs, lib, ... }: {
        imports = [ ./nixos/module.nix ];
        services.homelab-deploy.listener.package =
          lib.mkDefault self.packages.${pkgs.stdenv.hostPlatform.system}.default;
      };
    };
}
