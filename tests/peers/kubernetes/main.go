// One program with the parts of a Kubernetes control plane that the tests need. The first
// argument names the part, the rest are that part's own flags.
package main

import (
	"fmt"
	"os"

	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

const usage = `usage:
  control-plane prepare DIR          make keys, certificates and the administrator's token, once
  control-plane etcd DIR             serve etcd on the socket DIR/etcd.sock
  control-plane kube-apiserver FLAGS as its own documentation says
`

func main() {
	if len(os.Args) < 3 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	part, rest := os.Args[1], os.Args[2:]
	os.Args = os.Args[1:]
	switch part {
	case "prepare":
		exit(prepare(rest[0]))
	case "etcd":
		exit(etcd(rest[0]))
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	default:
		fmt.Fprintf(os.Stderr, "there is no part %q\n%s", part, usage)
		os.Exit(2)
	}
}

func exit(err error) {
	if err == nil {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
