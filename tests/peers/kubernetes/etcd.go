package main

import (
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
)

// etcd serves until it is told to stop. It listens on sockets in a folder that only its user can
// enter, because it asks nobody who they are, and a port would let in every user of the machine.
func etcd(folder string) error {
	config := embed.NewConfig()
	config.Dir = filepath.Join(folder, "etcd")
	config.LogLevel = "warn"
	// What the machine's power cut would lose is thrown away with the test anyway; a killed process
	// loses nothing by this.
	config.UnsafeNoFsync = true
	client := socket(folder, "etcd.sock")
	peer := socket(folder, "etcd-peer.sock")
	config.ListenClientUrls, config.AdvertiseClientUrls = client, client
	config.ListenPeerUrls, config.AdvertisePeerUrls = peer, peer
	config.InitialCluster = config.InitialClusterFromName(config.Name)

	// A killed one leaves its sockets behind, and nobody could bind them again.
	for _, name := range []string{"etcd.sock", "etcd-peer.sock"} {
		if err := os.Remove(filepath.Join(folder, name)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	server, err := embed.StartEtcd(config)
	if err != nil {
		return fmt.Errorf("etcd did not start: %w", err)
	}
	defer server.Close()
	return untilTold(server)
}

func socket(folder, name string) []url.URL {
	return []url.URL{{Scheme: "unix", Path: filepath.Join(folder, name)}}
}

func untilTold(server *embed.Etcd) error {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGINT, syscall.SIGTERM)
	select {
	case <-told:
		return nil
	case err := <-server.Err():
		return err
	}
}
