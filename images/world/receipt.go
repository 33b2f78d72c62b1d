package main

// maxText bounds what a receipt repeats of a client's text.
const maxText = 4 << 10

// header is a name and a value.
type header [2]string

// receipt is one thing that happened at a server of the world.
type receipt struct {
	stamp
	Server            string   `json:"server"`
	Instance          string   `json:"instance"`
	Port              int      `json:"port"`
	Event             string   `json:"event"`
	Remote            string   `json:"remote"`
	Nonce             string   `json:"nonce,omitempty"`
	Protocol          string   `json:"protocol,omitempty"`
	Method            string   `json:"method,omitempty"`
	Host              string   `json:"host,omitempty"`
	Path              string   `json:"path,omitempty"`
	Headers           []header `json:"headers,omitempty"`
	HeadersDecoded    bool     `json:"headers_decoded,omitempty"`
	SNI               string   `json:"sni,omitempty"`
	ALPN              string   `json:"alpn,omitempty"`
	ClientCertificate string   `json:"client_certificate,omitempty"`
	Bytes             int64    `json:"bytes,omitempty"`
	Error             string   `json:"error,omitempty"`
}

func (r *receipt) found() ([]string, string) {
	return []string{r.Nonce, r.Host, r.SNI}, r.Remote
}

func cut(text string) string {
	if len(text) > maxText {
		return text[:maxText]
	}
	return text
}
