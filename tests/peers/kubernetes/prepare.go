package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// prepare writes what an API server needs to be itself: a certificate authority and a certificate
// for loopback, the key that signs ServiceAccount tokens, and a token for the administrator. What
// is there already stays, so that a server started again is the same one.
func prepare(folder string) error {
	if _, err := os.Stat(filepath.Join(folder, "tokens.csv")); err == nil {
		return nil
	}
	if err := certificates(folder); err != nil {
		return err
	}
	if err := serviceAccountKey(folder); err != nil {
		return err
	}
	return administrator(folder)
}

func certificates(folder string) error {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	authority := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "test cluster authority"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(365 * 24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if err := certificate(folder, "ca", authority, authority, authorityKey, authorityKey); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serving := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "kube-apiserver"},
		NotBefore:    authority.NotBefore,
		NotAfter:     authority.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost", "kubernetes.default.svc"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	return certificate(folder, "apiserver", serving, authority, key, authorityKey)
}

// certificate writes NAME.crt and NAME.key.
func certificate(folder, name string, leaf, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, leaf, parent, key.Public(), signer)
	if err != nil {
		return fmt.Errorf("the certificate %s could not be made: %w", name, err)
	}
	if err := writePEM(folder, name+".crt", "CERTIFICATE", der); err != nil {
		return err
	}
	return writeKey(folder, name+".key", key)
}

func serviceAccountKey(folder string) error {
	// RSA, as clusters in the wild have it: what reads these tokens has to bear RS256.
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	return writeKey(folder, "service-accounts.key", key)
}

// administrator writes the token alone, for whoever calls, and the table that the server reads.
// The table comes last: its presence says that everything is there.
func administrator(folder string) error {
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	token := hex.EncodeToString(random)
	if err := os.WriteFile(filepath.Join(folder, "admin-token"), []byte(token), 0o600); err != nil {
		return err
	}
	line := fmt.Sprintf("%s,test-administrator,test-administrator,\"system:masters\"\n", token)
	return os.WriteFile(filepath.Join(folder, "tokens.csv"), []byte(line), 0o600)
}

func writeKey(folder, name string, key crypto.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(folder, name, "PRIVATE KEY", der)
}

func writePEM(folder, name, kind string, der []byte) error {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	return os.WriteFile(filepath.Join(folder, name), text, 0o600)
}
